#include "gil.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "floors.hpp"
#include "guards.hpp"
#include "old_gil.hpp"

namespace lab::gil {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Starts that many threads, runs body(number) in each, and joins them.
template <class Body>
void in_threads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

/// Sleeps in small steps until `done`, 30 s at most.
template <class Condition>
bool eventually(Condition done) {
  for (const auto deadline = SteadyClock::now() + seconds(30); !done();) {
    if (SteadyClock::now() > deadline) return false;
    std::this_thread::sleep_for(microseconds(100));
  }
  return true;
}

template <class Lock>
void keeps_others_out(Lock& lock) {
  int inside = 0;  // plain on purpose: ThreadSanitizer, too, sees when the lock lets two in
  int entered = 0;
  in_threads(4, [&](int) {
    for (int i = 0; i < 500; ++i) {
      const Held held(lock);
      ASSERT_EQ(++inside, 1);
      ++entered;
      --inside;
      lock.check_point();
    }
  });
  EXPECT_EQ(entered, 2000);
}

TEST(Gil, LetsOneThreadInAtATime) {
  Gil lock(microseconds(1));
  keeps_others_out(lock);
}

TEST(Gil, TheIntervalIsFiveMillisecondsCanBeSetAndIsNeverUnderOneMicrosecond) {
  Gil lock;
  EXPECT_EQ(lock.switch_interval(), microseconds(5000));
  lock.set_switch_interval(milliseconds(50));
  EXPECT_EQ(lock.switch_interval(), milliseconds(50));
  lock.set_switch_interval(microseconds(0));
  EXPECT_EQ(lock.switch_interval(), microseconds(1));
  EXPECT_EQ(Gil(microseconds(-7)).switch_interval(), microseconds(1));
}

TEST(Gil, AWaiterAsksAndTheHolderHandsOverAtItsNextCheckPoint) {
  Gil lock(microseconds(1000));
  lock.take();
  bool had_it = false;
  std::thread waiter([&] {
    const Held held(lock);
    had_it = true;
  });
  const bool asked = eventually([&] { return lock.drop_requested(); });
  EXPECT_FALSE(had_it) << "the holder had not come to a check point";
  EXPECT_EQ(lock.switches(), 1);
  lock.check_point();
  EXPECT_TRUE(asked);
  EXPECT_TRUE(had_it) << "forced switching: the waiter had the lock in between";
  EXPECT_EQ(lock.switches(), 3);
  EXPECT_FALSE(lock.drop_requested()) << "the request was honoured";
  lock.drop();
  waiter.join();
}

TEST(Gil, ACheckPointNobodyAskedForKeepsTheLock) {
  Timeline timeline;
  Gil lock(Gil::default_interval, &timeline);
  lock.take();
  for (int i = 0; i < 100; ++i) lock.check_point();
  lock.drop();
  EXPECT_EQ(timeline.spans().size(), 1);
}

TEST(Gil, AfterARequestedDropTheSameThreadNeverGetsItNext) {
  Gil lock(microseconds(1));
  std::atomic<int> handed_over{0};
  in_threads(3, [&](int) {
    const Held held(lock);
    const auto deadline = SteadyClock::now() + seconds(30);
    while (handed_over < 300 && SteadyClock::now() < deadline) {
      if (!lock.drop_requested()) continue;
      const std::uint64_t before = lock.switches();
      lock.check_point();
      ASSERT_GE(lock.switches(), before + 2) << "it went to somebody else, and then came back";
      ++handed_over;
    }
  });
  EXPECT_GE(handed_over, 300);
}

TEST(Gil, AVoluntaryDropDoesNotWaitForASuccessor) {
  Gil lock;
  const auto begin = SteadyClock::now();
  for (int i = 0; i < 1000; ++i) {
    lock.take();
    lock.drop();
    ASSERT_LT(SteadyClock::now() - begin, seconds(30)) << "in turn " << i << " of 1000; each wait would have taken 5 s";
  }
  EXPECT_EQ(lock.switches(), 1) << "nobody else ever had it";
}

// Every thread holds the lock for a tenth of the interval and then waits for fourteen others: longer than the interval,
// but while it waits the lock changes hands all the time. Nobody has reason to ask.
TEST(Gil, NobodyAsksWhileTheLockChangesHands) {
  const milliseconds interval(40);
  bool seen = false;
  const auto deadline = SteadyClock::now() + seconds(30);
  while (!seen && SteadyClock::now() < deadline) {  // a machine that stops for an interval spoils a try
    Gil lock(interval);
    std::atomic<int> requests{0}, long_waits{0};
    in_threads(15, [&](int) {
      for (int turn = 0; turn < 2; ++turn) {
        const auto begin = SteadyClock::now();
        const Held held(lock);
        if (SteadyClock::now() - begin > interval) ++long_waits;
        std::this_thread::sleep_for(interval / 10);
        if (lock.drop_requested()) ++requests;
      }
    });
    seen = long_waits > 0 && requests == 0;
  }
  EXPECT_TRUE(seen) << "there was a request in every try";
}

TEST(Gil, ErrnoSurvivesTakingItBack) {
  Gil lock(microseconds(1));
  const Held held(lock);
  for (int i = 0; i < 10; ++i) {
    {
      const Released released(lock);
      errno = EINTR;
    }
    EXPECT_EQ(errno, EINTR);
  }
}

TEST(Gil, ReleasedLetsAnotherThreadIn) {
  Gil lock(hours(1));  // no request will help
  const Held held(lock);
  bool had_it = false;
  {
    const Released released(lock);
    std::thread([&] {
      const Held other(lock);
      had_it = true;
    }).join();
  }
  EXPECT_TRUE(had_it);
}

TEST(Gil, DroppingAFreeLockIsAnError) {
  Gil lock;
  EXPECT_THROW(lock.drop(), std::logic_error);
  OldGil old;
  EXPECT_THROW(old.drop(), std::logic_error);
}

TEST(OldGil, LetsOneThreadInAtATime) {
  OldGil lock;
  keeps_others_out(lock);
}

TEST(OldGil, DropsAndTakesEveryHundredTicksThoughNobodyWaits) {
  Timeline timeline;
  OldGil lock(&timeline);
  lock.take();
  for (int i = 0; i < 1000; ++i) lock.check_point();
  lock.drop();
  EXPECT_EQ(timeline.spans().size(), 11);
  EXPECT_EQ(lock.switches(), 1);
}

TEST(OldGil, ErrnoSurvivesTakingItBack) {
  OldGil lock;
  const Held held(lock);
  {
    const Released released(lock);
    errno = EINTR;
  }
  EXPECT_EQ(errno, EINTR);
}

template <class Lock>
void holds_never_overlap(Lock& lock, const Timeline& timeline) {
  in_threads(3, [&](int) {
    const Held held(lock);
    for (int i = 0; i < 20'000; ++i) lock.check_point();
  });
  std::int64_t free_since = 0;
  int holds = 0;
  for (const Span& span : timeline.spans()) {
    ASSERT_LE(span.begin, span.end);
    if (span.name != "holds") continue;
    ASSERT_GE(span.begin, free_since);
    free_since = span.end;
    ++holds;
  }
  EXPECT_GE(holds, 3);
}

TEST(Timeline, OneHolderAtATime) {
  Timeline timeline;
  Gil lock(microseconds(1), &timeline);
  holds_never_overlap(lock, timeline);
  Timeline old_timeline;
  OldGil old(&old_timeline);
  holds_never_overlap(old, old_timeline);
}

TEST(Timeline, ShowsWhoWaited) {
  Timeline timeline;
  Gil lock(microseconds(1000), &timeline);
  lock.take();
  int waiter_number = 0;
  std::thread waiter([&] {
    waiter_number = this_thread();
    const Held held(lock);
  });
  EXPECT_TRUE(eventually([&] { return lock.drop_requested(); }));
  lock.drop();
  waiter.join();
  const std::vector<Span> spans = timeline.spans();
  ASSERT_EQ(spans.size(), 3);
  EXPECT_EQ(spans[0].name, "holds");
  EXPECT_EQ(spans[0].thread, this_thread());
  EXPECT_EQ(spans[1].name, "waits");
  EXPECT_EQ(spans[1].thread, waiter_number);
  EXPECT_EQ(spans[2].name, "holds");
  EXPECT_EQ(spans[2].begin, spans[1].end);
}

TEST(Timeline, KeepsToItsCapacity) {
  Timeline timeline(2);
  Gil lock(Gil::default_interval, &timeline);
  for (int i = 0; i < 10; ++i) {
    lock.take();
    lock.drop();
  }
  EXPECT_EQ(timeline.spans().size(), 1);
}

TEST(Floors, AForcedHandOverGoesThereAndBack) {
  ForcedHandOver hand_over;
  hand_over.once();
  const std::uint64_t before = hand_over.switches();
  for (int i = 0; i < 20; ++i) EXPECT_GT(hand_over.once().count(), 0);
  EXPECT_EQ(hand_over.switches(), before + 40);
}

TEST(Floors, TwoFutexWakeUpsComeBack) {
  TwoFutexWakeUps wake_ups;
  for (int i = 0; i < 20; ++i) EXPECT_GT(wake_ups.once().count(), 0);
}

}  // namespace
}  // namespace lab::gil

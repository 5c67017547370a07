// What each of a manager's objects does, what its references are worth, and what survives a fork.
#include "common/multiprocessing/manager/manager.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "common/multiprocessing/manager/handshake.hpp"
#include "common/os/team.hpp"
#include "common/os/test_child.hpp"

namespace lab::manager {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

Object number(std::int64_t n) { return n; }
std::int64_t as_number(Object object) { return as<std::int64_t>(object, "it"); }

// ---- objects --------------------------------------------------------------------------------------------------------

TEST(Manager, AValueHoldsAnyTypeOfTheList) {
  Manager manager;
  Value value = manager.make<Value>();
  EXPECT_EQ(value.get(), Object(None{}));
  for (const Object& object :
       {Object(true), number(-5), Object(0.5), Object("text"), Object(std::string("\0\xff", 2)),
        Object(Items{number(1), Items{}, "two"}), Object(Entries{{"k", Items{None{}}}, {"", number(2)}})}) {
    value.set(object);
    EXPECT_EQ(value.get(), object);
  }
  EXPECT_EQ(manager.make<Value>(number(7)).get(), number(7));
}

TEST(Manager, ANamespaceKeepsNamesWithAnUnderscoreAtHome) {
  Manager manager;
  Namespace names = manager.make<Namespace>();
  names.set("x", number(1));
  names.set("_y", number(2));
  EXPECT_EQ(names.get("x"), number(1));
  EXPECT_EQ(names.get("_y"), number(2));
  EXPECT_EQ(names.copy(), (Entries{{"x", number(1)}}));
  Namespace same = manager.proxy<Namespace>(names);
  EXPECT_EQ(same.get("x"), number(1));
  EXPECT_THROW(same.get("_y"), AttributeError);
  names.remove("x");
  EXPECT_THROW(names.get("x"), AttributeError);
  EXPECT_THROW(names.remove("x"), AttributeError);
}

TEST(Manager, AListDoesWhatPythonsDoes) {
  Manager manager;
  List list = manager.make<List>(Items{number(1), number(2)});
  list.append(number(3));
  list.insert(0, number(0));
  list.insert(-1, "before the last");
  list.insert(99, "the last");
  EXPECT_EQ(list.copy(), (Items{number(0), number(1), number(2), "before the last", number(3), "the last"}));
  EXPECT_EQ(list.get(-1), Object("the last"));
  EXPECT_EQ(list.pop(), Object("the last"));
  EXPECT_EQ(list.pop(3), Object("before the last"));
  list.set(-4, number(10));
  list.remove(1);
  EXPECT_EQ(list.copy(), (Items{number(10), number(2), number(3)}));
  EXPECT_EQ(list.size(), 3);
  for (const std::int64_t wrong : {3, -4, 99}) {
    EXPECT_THROW(list.get(wrong), IndexError);
    EXPECT_THROW(list.set(wrong, None{}), IndexError);
    EXPECT_THROW(list.pop(wrong), IndexError);
  }
  list.clear();
  EXPECT_EQ(list.size(), 0);
  EXPECT_THROW(list.pop(), IndexError);
}

TEST(Manager, ADictDoesWhatPythonsDoes) {
  Manager manager;
  Dict dict = manager.make<Dict>(Entries{{"a", number(1)}});
  dict.set("b", number(2));
  dict.set("a", number(3));
  EXPECT_EQ(dict.copy(), (Entries{{"a", number(3)}, {"b", number(2)}}));
  EXPECT_EQ(dict.keys(), (Items{"a", "b"}));
  EXPECT_TRUE(dict.contains("a") && !dict.contains("c"));
  EXPECT_EQ(dict.pop("a"), number(3));
  EXPECT_EQ(dict.size(), 1);
  EXPECT_THROW(dict.get("a"), KeyError);
  EXPECT_THROW(dict.pop("a"), KeyError);
  EXPECT_THROW(dict.remove("a"), KeyError);
  dict.remove("b");
  EXPECT_EQ(dict.size(), 0);
}

TEST(Manager, ALockHasNoOwnerAndATimeout) {
  Manager manager;
  Lock lock = manager.make<Lock>();
  EXPECT_FALSE(lock.locked());
  EXPECT_TRUE(lock.acquire());
  EXPECT_TRUE(lock.locked());
  EXPECT_FALSE(lock.acquire(0s));
  EXPECT_FALSE(lock.acquire(20ms));
  std::jthread([&] { lock.release(); }).join();  // whoever likes may
  EXPECT_FALSE(lock.locked());
  EXPECT_THROW(lock.release(), ValueError);
}

TEST(Manager, ALockWaitsUntilItIsReleased) {
  Manager manager;
  Lock lock = manager.make<Lock>();
  lock.acquire();
  std::atomic<bool> got = false;
  {
    std::jthread waiter([&] { got = lock.acquire(30s); });
    EXPECT_FALSE(got);
    lock.release();
  }
  EXPECT_TRUE(got);
}

TEST(Manager, AQueueIsFirstInFirstOutAndBounded) {
  Manager manager;
  Queue queue = manager.make<Queue>(number(2));
  EXPECT_THROW(queue.get(0s), queue::Empty);
  queue.put(number(1));
  queue.put("two");
  EXPECT_EQ(queue.size(), 2);
  EXPECT_THROW(queue.put(number(3), 0s), queue::Full);
  EXPECT_THROW(queue.put(number(3), 20ms), queue::Full);
  EXPECT_EQ(queue.get(), number(1));
  EXPECT_EQ(queue.get(), Object("two"));
  EXPECT_THROW(queue.get(20ms), queue::Empty);
  Queue unbounded = manager.make<Queue>();
  for (int i = 0; i < 1000; ++i) unbounded.put(number(i), 0s);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(unbounded.get(0s), number(i));
}

TEST(Manager, AQueueWaitsForItemAndForRoom) {
  Manager manager;
  Queue queue = manager.make<Queue>(number(1));
  std::jthread consumer([&] {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(queue.get(30s), number(i));
  });
  for (int i = 0; i < 50; ++i) queue.put(number(i), 30s);
}

// ---- errors ---------------------------------------------------------------------------------------------------------

template <class Error>
std::string sentence_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no such error";
}

TEST(Manager, RemoteErrorsKeepTheirTypeAndTheirSentence) {
  Manager manager;
  EXPECT_EQ(sentence_of<KeyError>([&] { manager.make<Dict>().get("k"); }), "the dict has no key k");
  EXPECT_EQ(sentence_of<IndexError>([&] { manager.make<List>().get(5); }), "index 5 of a list of 0 items");
  EXPECT_EQ(sentence_of<AttributeError>([&] { manager.make<Namespace>().get("x"); }),
            "the Namespace has no attribute x");
  EXPECT_EQ(sentence_of<queue::Empty>([&] { manager.make<Queue>().get(0s); }),
            "no item came into the manager's Queue in time");
  EXPECT_EQ(sentence_of<TypeError>([&] { manager.make<List>("text"); }), "a list's content is a text, and not a list");
}

TEST(Manager, WhatATypeDoesNotOfferIsARemoteError) {
  Manager manager;
  const Value value = manager.make<Value>();
  const auto client = value.client();
  EXPECT_EQ(sentence_of<RemoteError>([&] { client->call(value.id(), Method::append, {None{}}); }),
            "a Value has no append");
  EXPECT_EQ(sentence_of<RemoteError>([&] { client->call(value.id(), Method{99}); }), "a Value has no method 99");
  EXPECT_EQ(sentence_of<TypeError>([&] { client->call(value.id(), Method::set); }), "the value is missing");
  EXPECT_EQ(sentence_of<RemoteError>([&] { client->create(Type{77}); }), "a manager makes nothing of type 77");
  EXPECT_EQ(sentence_of<RemoteError>([&] { client->call(kServer, Method::get); }), "a server has no get");
  EXPECT_EQ(sentence_of<RemoteError>([&] { client->call(999, Method::get); }),
            "the manager has no object 999: nobody held it any more");
  EXPECT_EQ(sentence_of<TypeError>([&] { manager.proxy<List>(value); }), "a proxy of a Value, and not of a list");
  EXPECT_EQ(sentence_of<TypeError>([&] { manager.proxy<List>("text"); }),
            "what should be a proxy is a text, and not a proxy");
  EXPECT_EQ(value.get(), Object(None{})) << "an error has cost the connection";
}

TEST(Manager, WhatIsTooLongIsRefusedAtEitherEnd) {
  Manager manager;
  const Value value = manager.make<Value>("short");
  EXPECT_THROW(value.set(std::string(kRequestLimit, 'x')), MessageError);
  EXPECT_EQ(value.get(), Object("short"));
  List list = manager.make<List>();
  const std::string large(kRequestLimit / 3, 'x');
  for (int i = 0; i < 4; ++i) list.append(large);
  EXPECT_THROW(list.copy(), ValueError);
  EXPECT_EQ(list.size(), 4);
  EXPECT_EQ(list.get(3), Object(large));
}

// ---- copies and references ------------------------------------------------------------------------------------------

TEST(Manager, NestedPlainContainersAreCopies) {
  Manager manager;
  Dict dict = manager.make<Dict>();
  dict.set("k", Items{});
  Object copy = dict.get("k");
  std::get<Items>(copy).push_back(number(1));
  EXPECT_EQ(dict.get("k"), Object(Items{})) << "a copy's change came through";
  dict.set("k", copy);
  EXPECT_EQ(dict.get("k"), Object(Items{number(1)}));
  dict.set("k", manager.make<List>());
  manager.proxy<List>(dict.get("k")).append(number(2));
  EXPECT_EQ(manager.proxy<List>(dict.get("k")).copy(), (Items{number(2)}));
}

TEST(Manager, AnObjectLivesAsLongAsSomebodyHoldsIt) {
  Manager manager;
  EXPECT_EQ(manager.number_of_objects(), 0);
  {
    const Value first = manager.make<Value>();
    const Value copy = first;
    manager.make<Value>();
    EXPECT_EQ(manager.number_of_objects(), 1);
  }
  EXPECT_EQ(manager.number_of_objects(), 0);
}

TEST(Manager, ANestedProxyHoldsItsObject) {
  Manager manager;
  std::optional<Dict> dict = manager.make<Dict>();
  dict->set("inner", manager.make<List>(Items{number(1)}));
  dict->set("deep", Items{Entries{{"x", manager.make<Value>(number(2))}}});
  EXPECT_EQ(manager.number_of_objects(), 3);
  EXPECT_EQ(manager.proxy<List>(dict->get("inner")).get(0), number(1));
  EXPECT_EQ(manager.number_of_objects(), 3);
  std::optional<Object> inner = dict->pop("inner");
  EXPECT_EQ(manager.number_of_objects(), 3) << "what was popped is held by who has it";
  EXPECT_EQ(manager.proxy<List>(*inner).get(0), number(1));
  inner.reset();
  EXPECT_EQ(manager.number_of_objects(), 2);
  dict.reset();
  EXPECT_EQ(manager.number_of_objects(), 0);
}

TEST(Manager, AChainOfProxiesLongerThanTheStackIsReleased) {
  Manager manager;
  std::optional<List> head = manager.make<List>();
  for (int i = 0; i < 20'000; ++i) head = manager.make<List>(Items{*head});
  EXPECT_EQ(manager.number_of_objects(), 20'001);
  head.reset();
  EXPECT_EQ(manager.number_of_objects(), 0);
}

TEST(Manager, ProxiesInOneAnotherLiveAsLongAsTheServer) {
  Manager manager;
  {
    const List list = manager.make<List>();
    list.append(list);
    EXPECT_EQ(manager.proxy<List>(list.get(0)).id(), list.id());
  }
  EXPECT_EQ(manager.number_of_objects(), 1);
}

// ---- processes and threads -------------------------------------------------------------------------------------------

TEST(Manager, AForkedChildUsesWhatItsParentMade) {
  Manager manager;
  const Value value = manager.make<Value>(number(1));
  run_team({.size = 3}, [&](int worker) {
    if (as_number(value.get()) != 1 && worker == 0) throw std::runtime_error("another value");
    manager.make<List>(Items{number(worker)}).append(value);
    return 0;
  });
  value.set(number(2));
  EXPECT_EQ(value.get(), number(2));
  EXPECT_EQ(manager.number_of_objects(), 1) << "what ended processes held is still there";
}

TEST(Manager, AForkedChildHoldsWhatItsParentLetsGo) {
  Manager manager;
  std::optional<Value> value = manager.make<Value>(number(5));
  auto [reader, writer] = make_pipe();
  auto [go, may_go] = make_pipe();
  const pid_t child = start_child([&, &out = writer, &in = go] {
    const Object before = value->get();  // from now on it is known to hold it, too
    const std::byte ready{1};
    write_all(out.get(), {&ready, 1});
    std::byte let_go{};
    read_full(in.get(), {&let_go, 1}, soon());
    if (!(value->get() == before)) throw std::runtime_error("the value is gone, or another");
    value.reset();
  });
  std::byte ready{};
  EXPECT_EQ(read_full(reader.get(), {&ready, 1}, soon()), 1u);
  value.reset();
  EXPECT_EQ(manager.number_of_objects(), 1);
  write_all(may_go.get(), {&ready, 1});
  EXPECT_EQ(end_of(child), "status 0");
  const Deadline limit = soon();
  while (manager.number_of_objects() > 0 && Clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(manager.number_of_objects(), 0);
}

TEST(Manager, ThreadsCallAtTheSameTime) {
  Manager manager;
  const Queue queue = manager.make<Queue>();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) queue.put(number(i));
      });
    }
  }
  EXPECT_EQ(queue.size(), 1600);
}

TEST(Manager, IncrementsUnderItsLockAreExact) {
  constexpr int kWorkers = 8, kEach = 10'000;
  Manager manager;
  const Value value = manager.make<Value>(number(0));
  const Lock lock = manager.make<Lock>();
  run_team({.size = kWorkers, .deadline = 110s}, [&](int) {
    for (int i = 0; i < kEach; ++i) {
      const std::lock_guard holding(lock);
      value.set(as_number(value.get()) + 1);
    }
    return 0;
  });
  EXPECT_EQ(value.get(), number(kWorkers * kEach));
}

// ---- life -------------------------------------------------------------------------------------------------------------

TEST(Manager, ItsSocketIsItsOwnersAndGoesWithIt) {
  std::string path;
  pid_t server = 0;
  {
    Manager manager;
    path = manager.path();
    server = manager.server();
    struct stat about {};
    ASSERT_EQ(::stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0600u);
    ASSERT_EQ(::stat(fs::path(path).parent_path().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0700u);
    manager.shutdown();
    manager.shutdown();
    EXPECT_THROW(manager.make<Value>(), ManagerLost);
  }
  EXPECT_TRUE(is_gone(server));
  EXPECT_FALSE(fs::exists(fs::path(path).parent_path()));
  EXPECT_TRUE(childless());
}

TEST(Manager, AnybodyWithPathAndKeyIsAClient) {
  Manager manager({.key = "shared"});
  EXPECT_EQ(manager.key(), "shared");
  const auto client = Client::of(manager.path(), "shared");
  const Value value(client, client->create(Type::value, {number(3)}));
  EXPECT_EQ(manager.proxy<Value>(value).get(), number(3));
  EXPECT_THROW(Client::of(manager.path(), "another")->number_of_objects(), AuthenticationError);
  EXPECT_THROW(Client::of(manager.path(), ""), std::invalid_argument);
  EXPECT_THROW(Manager({.key = ""}), std::invalid_argument);
  EXPECT_EQ(value.get(), number(3));
}

TEST(Manager, TwoOfThemDoNotMix) {
  Manager one, other;
  const Value first = one.make<Value>(number(1)), second = other.make<Value>(number(2));
  EXPECT_EQ(first.get(), number(1));
  EXPECT_EQ(second.get(), number(2));
  EXPECT_THROW(Client::of(one.path(), other.key())->number_of_objects(), AuthenticationError);
}

}  // namespace
}  // namespace lab::manager

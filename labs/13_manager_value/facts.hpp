// What a manager's objects do not promise: that += is one step, and that what is inside is more than a copy.
#pragma once

#include <mutex>
#include <string>

#include "common/multiprocessing/manager/manager.hpp"
#include "common/os/team.hpp"
#include "labs/12_verify_pool/experiment.hpp"
#include "manager_value.hpp"

namespace lab::manager_value {

/// `workers` processes run `add` `each` times, all at once.
template <class Add>
void add_together(int workers, int each, const Add& add) {
  const Shared<verify::Meeting> meeting;
  run_team({.size = workers}, [&](int) {
    add();  // connects
    meeting->pass(static_cast<std::uint32_t>(workers), [] {});
    for (int i = 1; i < each; ++i) add();
    return 0;
  });
}

/// What so many increments leave of a Value, when each is a get and a set; and when a Lock in the same server is held
/// around both.
inline std::int64_t increments_of_a_value(int workers, int each, bool locked) {
  manager::Manager server;
  const auto value = server.make<manager::Value>(0);
  const auto lock = server.make<manager::Lock>();
  const auto add_one = [&] { value.set(std::get<std::int64_t>(value.get()) + 1); };
  add_together(workers, each, [&] {
    if (!locked) return add_one();
    const std::lock_guard holding(lock);
    add_one();
  });
  return std::get<std::int64_t>(value.get());
}
/// The same of the lesson's value, which has no lock.
inline std::int64_t increments_of_the_lessons(int workers, int each) {
  const ValueServer server;
  add_together(workers, each, [&] {
    static Connection connection = server.connect();  // one a process
    connection.add(1);
  });
  return server.connect().get();
}

/// Items of a list inside a dict, after one was appended: to what `get` returned; to that, which was then set again; to
/// a proxy of a List.
struct Nested {
  std::size_t copy, set_again, proxy;
};
inline Nested append_to_nested_lists() {
  manager::Manager server;
  const auto dict = server.make<manager::Dict>(manager::Entries{{"plain", manager::Items{}}});
  dict.set("proxy", server.make<manager::List>());
  const auto size_of_plain = [&] { return std::get<manager::Items>(dict.get("plain")).size(); };
  Nested items{};
  manager::Object copy = dict.get("plain");
  std::get<manager::Items>(copy).push_back(1);
  items.copy = size_of_plain();
  dict.set("plain", copy);
  items.set_again = size_of_plain();
  server.proxy<manager::List>(dict.get("proxy")).append(1);
  items.proxy = static_cast<std::size_t>(server.proxy<manager::List>(dict.get("proxy")).size());
  return items;
}

inline Seen value_races() {
  const int workers = std::max(2, verify::chosen.workers);
  constexpr int each = 500;
  const std::int64_t all = std::int64_t{each} * workers, lesson = increments_of_the_lessons(workers, each),
                     plain = increments_of_a_value(workers, each, false),
                     locked = increments_of_a_value(workers, each, true);
  const bool lost = plain < all && lesson < all;
  return {.holds = lost && locked == all,
          .what = fmt::format(
              "of {} increments the lesson's value kept {}, a Value {}, a Value under a Lock of the same manager {}",
              all, lesson, plain, locked),
          .known = locked != all || lost};
}
inline Seen nested_copy() {
  const Nested items = append_to_nested_lists();
  return {
      items.copy == 0 && items.set_again == 1 && items.proxy == 1,
      fmt::format(
          "an append to what get returned left {} items in the server, one that was set again {}, one to a proxy {}",
          items.copy, items.set_again, items.proxy)};
}

}  // namespace lab::manager_value

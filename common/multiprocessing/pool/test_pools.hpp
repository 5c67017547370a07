// The pools of tests: their nursery, forked before any thread, and each test once for processes, once for threads.
#pragma once

#include <gtest/gtest.h>

#include "pool.hpp"
#include "test_tasks.hpp"

namespace lab::pool {

/// Forks the nursery after all statics, before all tests.
class Home : public ::testing::Environment {
 public:
  void SetUp() override {
    seen();
    nursery = std::make_unique<start::Nursery>();
  }
  void TearDown() override { nursery.reset(); }
  static inline std::unique_ptr<start::Nursery> nursery;
};
inline ::testing::Environment* const home = ::testing::AddGlobalTestEnvironment(new Home);

inline Options with(int workers, Vehicle vehicle = Vehicle::processes) {
  return {.processes = workers, .vehicle = vehicle, .nursery = Home::nursery.get()};
}

inline std::vector<int> up_to(int n) {
  std::vector<int> numbers(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) numbers[i] = i;
  return numbers;
}

/// Each test starts with all counts at 0, once for each vehicle.
class BothVehicles : public ::testing::TestWithParam<Vehicle> {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4096; ++i) seen()[i] = 0;
  }
  Options with(int workers) const { return pool::with(workers, GetParam()); }
};
inline std::string vehicle_name(const ::testing::TestParamInfo<Vehicle>& info) {
  return info.param == Vehicle::processes ? "processes" : "threads";
}

}  // namespace lab::pool

// What both pools do alike is tested on both, and on both vehicles.
#pragma once

#include "pool_tasks.hpp"

namespace lab::pool {

class AllPools : public ::testing::TestWithParam<std::tuple<bool, Vehicle>> {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4096; ++i) seen()[i] = 0;
    sturdy = std::get<bool>(GetParam());
  }
  static bool processes() { return std::get<Vehicle>(GetParam()) == Vehicle::processes; }
  static Options with(int workers) { return pool::with(workers, std::get<Vehicle>(GetParam())); }
  static inline bool sturdy = false;

  /// The pool under test.
  struct AnyPool : Pool {
    explicit AnyPool(Options options)
        : Pool(std::move(options), sturdy ? std::make_unique<SturdyConduct>() : std::make_unique<Conduct>()) {}
  };
};
inline std::string pool_name(const ::testing::TestParamInfo<AllPools::ParamType>& info) {
  return std::string(std::get<bool>(info.param) ? "sturdy_" : "faithful_") +
         (std::get<Vehicle>(info.param) == Vehicle::processes ? "processes" : "threads");
}
#define FOR_ALL_POOLS(suite)                                                                                       \
  INSTANTIATE_TEST_SUITE_P(                                                                                        \
      Pool, suite, ::testing::Combine(::testing::Bool(), ::testing::Values(Vehicle::processes, Vehicle::threads)), \
      pool_name)

}  // namespace lab::pool

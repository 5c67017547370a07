// Tests that are run once for each start method.
#pragma once

#include <gtest/gtest.h>

#include "common/multiprocessing/process/process.hpp"

namespace lab::start {
namespace {

class EachMethod : public testing::TestWithParam<Method> {};
class EachProcess : public testing::TestWithParam<Method> {};
const auto name_of = [](const auto& method) { return to_string(method.param); };
INSTANTIATE_TEST_SUITE_P(Methods, EachMethod, testing::ValuesIn(kMethods), name_of);
INSTANTIATE_TEST_SUITE_P(Methods, EachProcess, testing::Values(Method::fork, Method::spawn, Method::forkserver),
                         name_of);

}  // namespace
}  // namespace lab::start

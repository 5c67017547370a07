// The main of a test that starts workers: they are its own program. Included by the test alone.
#pragma once

#include <gtest/gtest.h>

#include "common/multiprocessing/process/spawn.hpp"

int main(int argc, char** argv) {
  lab::start::become_worker(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

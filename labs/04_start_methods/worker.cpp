// The program that a spawned worker of this lab runs: its entries and nothing else, statically linked. A worker that ran
// the lab's own executable would load the libraries that measure, and never use them; what that costs is bare_spawn_lab.
#include <cstdio>
#include <cstring>

#include "common/multiprocessing/process/spawn.hpp"
#include "facts.hpp"
#include "four_ways.hpp"
#include "inheritance.hpp"
#include "parents.hpp"
#include "tree.hpp"

int main(int argc, char** argv) {
  if (argc == 2 && !std::strcmp(argv[1], lab::four_ways::kReturnAtOnce)) return 0;
  lab::start::become_worker(argc, argv);
  std::fputs("This is what 04_start_methods spawns as its workers; run that.\n", stderr);
  return 2;
}

# What the project builds with, and the functions the folders below call: add_unit_test, add_fuzz, add_lab and left_out.

if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12) OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14))
  message(FATAL_ERROR "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} is too old: the course needs GCC 12, clang 14 or a newer one "
                      "(make test CMAKE_ARGS=-DCMAKE_CXX_COMPILER=g++-12)")
endif()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(benchmark 1.7 REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(GTest REQUIRED)
pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc)

# Options every target of the project is built with. The include path is the root: "common/os/team.hpp".
add_library(lab_options INTERFACE)
target_include_directories(lab_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(lab_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
                       -Wno-missing-field-initializers)  # a claim names the members it sets, the rest have defaults
target_link_libraries(lab_options INTERFACE Threads::Threads fmt::fmt)
# Every symbol is bound at the start: otherwise a forked child looks up anew what its parent has not called yet, such as
# _exit, and that would be a third of the cost of a bare fork.
target_link_options(lab_options INTERFACE LINKER:-z,now)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(lab_options INTERFACE -Wno-restrict)  # false for "literal" + std::string (GCC bug 105651)
endif()
if(LAB_WERROR)
  target_compile_options(lab_options INTERFACE -Werror)
endif()
if(LAB_NATIVE)
  target_compile_options(lab_options INTERFACE -march=native)
endif()
if(LAB_SANITIZE)
  # No more optimisation and debug information than a report needs: with those of a release build it takes twice the time.
  target_compile_options(lab_options INTERFACE -fsanitize=${LAB_SANITIZE} -fno-omit-frame-pointer -O1 -g1)
  target_link_options(lab_options INTERFACE -fsanitize=${LAB_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(lab_options INTERFACE -Wno-maybe-uninitialized)  # false in <functional> and <stop_token> then
  endif()
endif()

if(LAB_FUZZ)
  target_compile_options(lab_options INTERFACE -fsanitize=fuzzer-no-link)  # coverage of what the fuzz targets link
  add_custom_target(fuzz)
endif()

# Address randomisation wider than the sanitizers' shadow memory expects stops one start in three; turn it off for them.
if(LAB_SANITIZE)
  find_program(SETARCH setarch REQUIRED)
  set(LAB_LAUNCHER ${SETARCH} -R)
endif()

# Every test runs under the guard: it adopts what the test orphans, and fails the test that leaves anything behind.
function(lab_test name)
  add_test(NAME ${name} COMMAND ${LAB_LAUNCHER} $<TARGET_FILE:guard> ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77)
endfunction()

# add_unit_test(<file without _test.cpp> <libraries>...): builds <file>_test.cpp with GoogleTest and runs it.
function(add_unit_test file)
  string(MAKE_C_IDENTIFIER "${file}_test" target)
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  if(TARGET ${target} OR NOT file MATCHES "/")  # a file beside its CMakeLists.txt is named for their folder: process_worker_test
    set(target ${folder}_${target})
  endif()
  add_executable(${target} ${file}_test.cpp)
  target_link_libraries(${target} PRIVATE ${ARGN} lab_options GTest::gtest_main)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  get_filename_component(corpus ${CMAKE_CURRENT_SOURCE_DIR}/${file} DIRECTORY)
  string(APPEND corpus /readers_corpus.txt)
  if(file MATCHES "hostile$")  # replays what the fuzzer of its folder has found
    set_source_files_properties(${file}_test.cpp PROPERTIES COMPILE_DEFINITIONS READERS_CORPUS="${corpus}")
  endif()
  lab_test(${target} $<TARGET_FILE:${target}>)
endfunction()

# add_fuzz(<file without _fuzz.cpp> <libraries>...): with LAB_FUZZ, builds <file>_fuzz.cpp with libFuzzer; its test runs it
# for 20 s, from the inputs in the folder corpus beside it. An input that breaks it is kept in the build folder.
function(add_fuzz file)
  if(LAB_FUZZ)
    string(MAKE_C_IDENTIFIER "${file}_fuzz" target)
    if(NOT file MATCHES "/")
      get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
      set(target ${folder}_${target})
    endif()
    add_executable(${target} ${file}_fuzz.cpp)
    target_link_libraries(${target} PRIVATE ${ARGN} lab_options -fsanitize=fuzzer)
    get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR}/${file} DIRECTORY)
    set(inputs ${CMAKE_BINARY_DIR}/${target}_inputs)  # the first folder named is written to
    file(MAKE_DIRECTORY ${inputs})
    if(EXISTS ${folder}/corpus)
      list(APPEND inputs ${folder}/corpus)
    endif()
    # libFuzzer's own exit status for a crash is 77, which means skipped here.
    lab_test(${target} $<TARGET_FILE:${target}> -max_total_time=20 -rss_limit_mb=512 -error_exitcode=1
             -artifact_prefix=${CMAKE_BINARY_DIR}/ ${inputs})
    set_tests_properties(${target} PROPERTIES LABELS fuzz)
    add_dependencies(fuzz ${target} guard)
  endif()
endfunction()

# left_out(<what> <Debian packages> [<target>]): says what is not built here, and what to install for it; so does the target,
# for who asks for it by name. Where CI is set, and all should be there, that is a failure.
function(left_out what packages)
  set(kind STATUS)
  if("$ENV{CI}" STREQUAL "true")
    set(kind FATAL_ERROR)
  endif()
  message(${kind} "${what} is left out (apt-get install ${packages})")
  foreach(target ${ARGN})
    add_custom_target(${target} VERBATIM
                      COMMAND ${CMAKE_COMMAND} -E echo "${what} is left out (apt-get install ${packages}; then cmake ${CMAKE_BINARY_DIR})"
                      COMMAND ${CMAKE_COMMAND} -E false)
  endforeach()
endfunction()

add_custom_target(all_labs)  # the labs without the tests: what `make run` builds

# add_lab(NN_name idea... [USES NN_lower...] [LINKS target...]): one executable from NN_name/main.cpp; of each idea its
# <idea>.cpp and <idea>_test.cpp where they exist; a test that runs the lab once with --quick.
function(add_lab name)
  cmake_parse_arguments(arg "" "" "USES;LINKS" ${ARGN})
  set(ideas ${arg_UNPARSED_ARGUMENTS})
  list(TRANSFORM arg_USES PREPEND "ideas_")
  set(sources "")
  foreach(idea ${ideas})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${idea}.cpp)
      list(APPEND sources ${name}/${idea}.cpp)
    endif()
  endforeach()
  if(sources)
    add_library(ideas_${name} STATIC ${sources})
    target_link_libraries(ideas_${name} PUBLIC lab_options lab_harness ${arg_USES} ${arg_LINKS})
  else()
    add_library(ideas_${name} INTERFACE)
    target_link_libraries(ideas_${name} INTERFACE lab_options lab_harness ${arg_USES} ${arg_LINKS})
  endif()
  add_executable(${name} ${name}/main.cpp)
  target_link_libraries(${name} PRIVATE ideas_${name})
  add_dependencies(all_labs ${name})
  foreach(idea ${ideas})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${idea}_test.cpp)
      add_unit_test(${name}/${idea} ideas_${name})
    endif()
  endforeach()
  lab_test(${name}.quick $<TARGET_FILE:${name}> --quick --no-predict --out ${CMAKE_BINARY_DIR}/quick)
  # A machine that hwloc cannot read is a sentence and a status, not an abort before main.
  lab_test(${name}.unreadable sh -c "if HWLOC_COMPONENTS=stop $0 --claims\nthen false\nelse test $? = 1\nfi" $<TARGET_FILE:${name}>)
  # On whatever machine it is built, its claims must name variants it has: here on 12 cores with 24 hardware threads.
  lab_test(${name}.elsewhere ${CMAKE_COMMAND} -E env "HWLOC_SYNTHETIC=package:2 core:6 pu:2" HWLOC_THISSYSTEM=0
           $<TARGET_FILE:${name}> --claims)
endfunction()

# Run at every build (cmake -P): writes OUT, a header that says what is being built, if that changed.
set(ENV{GIT_CEILING_DIRECTORIES} "${SOURCE}/..") # a copy inside somebody else's repository has no commit of its own
execute_process(COMMAND git --no-optional-locks describe --always --dirty WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "")
endif()
string(REGEX REPLACE "[\"\\]" "'" FLAGS "${FLAGS}")
string(REGEX REPLACE " +" " " FLAGS "${FLAGS}")
string(STRIP "${FLAGS}" FLAGS)
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#define LAB_VERSION "@VERSION@"
#define LAB_COMMIT "@commit@"
#define LAB_COMPILER "@COMPILER@"
#define LAB_FLAGS "@FLAGS@"
]])

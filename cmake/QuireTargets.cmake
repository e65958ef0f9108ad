# quire_library(NAME folder SRCS a.cc ... DEPS lower_folder ... [LIBS external ...] [TESTS a_test.cc ...])
#
# One static library per folder, named quire_<folder>, and one test program per folder, <folder>_test.
include(GoogleTest)

function(quire_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS;TESTS" ${ARGN})
  set(target quire_${ARG_NAME})
  add_library(${target} STATIC ${ARG_SRCS})
  list(TRANSFORM ARG_DEPS PREPEND quire_)
  target_link_libraries(${target} PUBLIC quire_flags ${ARG_DEPS} ${ARG_LIBS})
  if(QUIRE_TESTS AND ARG_TESTS)
    quire_test(NAME ${ARG_NAME}_test SRCS ${ARG_TESTS} DEPS ${ARG_NAME})
  endif()
endfunction()

# quire_test(NAME name SRCS a_test.cc ... DEPS folder ...): one GoogleTest program, registered with CTest.
function(quire_test)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  list(TRANSFORM ARG_DEPS PREPEND quire_)
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${ARG_NAME} PRIVATE QUIRE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()

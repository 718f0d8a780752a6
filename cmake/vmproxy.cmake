# One static library per folder. The dependencies named here are the only ones it can link; which headers it may
# include, tests/integration/test_tidy.py looks after.
add_library(vmproxy_flags INTERFACE)
target_include_directories(vmproxy_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(vmproxy_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wno-sign-conversion $<$<BOOL:${VMPROXY_WERROR}>:-Werror>)
# All presets but dev compile a target's files eight at a time (CMAKE_UNITY_BUILD): half the time. So names of a room must not clash,
# in anonymous namespaces either. dev compiles each file by itself, and looks for shadowed names.
if(CMAKE_UNITY_BUILD)
  target_compile_options(vmproxy_flags INTERFACE -Wno-shadow)
endif()
target_compile_definitions(vmproxy_flags INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_STD_COROUTINE
  $<$<BOOL:${VMPROXY_FAULTS}>:VMPROXY_FAULTS>)

# Where a preset asks for it (VMPROXY_PCH), headers of the libraries are parsed once for all files: they are most of the time
# that a small file takes. dev builds without, so that every file still names what it includes. A PCH carries its clone's
# path: ccache finds what was built with it in the same clone only.
if(VMPROXY_PCH)
  add_library(vmproxy_pch STATIC ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
  target_link_libraries(vmproxy_pch PRIVATE vmproxy_flags)
  target_compile_options(vmproxy_flags INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
  target_precompile_headers(vmproxy_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h)
  add_executable(vmproxy_pch_tests ${PROJECT_SOURCE_DIR}/cmake/pch_tests.cpp)
  target_link_libraries(vmproxy_pch_tests PRIVATE vmproxy_flags Catch2::Catch2WithMain rapidcheck)
  target_precompile_headers(vmproxy_pch_tests PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h ${PROJECT_SOURCE_DIR}/cmake/pch_tests.h)
endif()
function(vmproxy_reuse_pch target from)
  if(VMPROXY_PCH)
    target_precompile_headers(${target} REUSE_FROM ${from})
  endif()
endfunction()

# vmproxy_library(net SOURCES a.cpp b.cpp PUBLIC vmproxy::base PRIVATE OpenSSL::SSL)
function(vmproxy_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" target "${name}")
  if(arg_SOURCES)
    add_library(vmproxy_${target} STATIC ${arg_SOURCES})
    target_link_libraries(vmproxy_${target} PUBLIC vmproxy_flags ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
    vmproxy_reuse_pch(vmproxy_${target} vmproxy_pch)
  else()
    add_library(vmproxy_${target} INTERFACE)
    target_link_libraries(vmproxy_${target} INTERFACE vmproxy_flags ${arg_PUBLIC})
  endif()
  add_library(vmproxy::${target} ALIAS vmproxy_${target})
endfunction()

# Programs that scripts/test runs without sanitizers only: with them they are built when they are named.
function(vmproxy_unsanitized)
  if(CMAKE_CXX_FLAGS MATCHES "fsanitize=")
    set_target_properties(${ARGN} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# vmproxy_test(net_http1 LABEL unit SOURCES http1_test.cpp DEPS vmproxy::net)
# Labels: unit (no sockets), component (loopback, fakes), integration (real servers), hazard, crash (processes that are
# killed: alone on the machine), model (minutes of one processor, without sanitisers), simulator (all processor: beside nothing
# that bets on time).
function(vmproxy_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  add_executable(test_${name} ${arg_SOURCES})
  target_link_libraries(test_${name} PRIVATE vmproxy_flags ${arg_DEPS} Catch2::Catch2WithMain rapidcheck)
  vmproxy_reuse_pch(test_${name} vmproxy_pch_tests)
  add_test(NAME ${name} COMMAND test_${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)  # sanitizers, on a busy machine
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT})
endfunction()

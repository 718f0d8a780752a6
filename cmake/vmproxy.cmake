# One static library per folder. The dependencies named here are the only ones it can link:
# a wrong arrow between rooms fails to link.
add_library(vmproxy_flags INTERFACE)
target_include_directories(vmproxy_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(vmproxy_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wno-sign-conversion $<$<BOOL:${VMPROXY_WERROR}>:-Werror>)
target_compile_definitions(vmproxy_flags INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_STD_COROUTINE)

# vmproxy_library(net SOURCES a.cpp b.cpp PUBLIC vmproxy::base PRIVATE OpenSSL::SSL)
function(vmproxy_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" target "${name}")
  if(arg_SOURCES)
    add_library(vmproxy_${target} STATIC ${arg_SOURCES})
    target_link_libraries(vmproxy_${target} PUBLIC vmproxy_flags ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  else()
    add_library(vmproxy_${target} INTERFACE)
    target_link_libraries(vmproxy_${target} INTERFACE vmproxy_flags ${arg_PUBLIC})
  endif()
  add_library(vmproxy::${target} ALIAS vmproxy_${target})
endfunction()

# vmproxy_test(net_http1 LABEL unit SOURCES http1_test.cpp DEPS vmproxy::net)
# Labels: unit (no sockets), component (loopback, fakes), integration (real servers), hazard.
function(vmproxy_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  add_executable(test_${name} ${arg_SOURCES})
  target_link_libraries(test_${name} PRIVATE vmproxy_flags ${arg_DEPS} Catch2::Catch2WithMain rapidcheck)
  add_test(NAME ${name} COMMAND test_${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)  # sanitizers, on a busy machine
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT ${arg_TIMEOUT})
endfunction()

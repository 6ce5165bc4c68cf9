# Flags for every target of ours.
#   -ffp-contract=off: a*b+c must round the same way in every loop body, tail and inlined copy; kernels that want
#     fused multiply-add say so. The same bits on any layout rest on this.
#   -fno-math-errno: lets sqrt be one instruction; no code here reads errno after mathematics.
#   -Wno-restrict: GCC 12 warns of it wrongly for std::string concatenation (its bug 105651).
#   hardening flags: files from strangers are read by this binary.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(switchyard_compiler INTERFACE)
target_include_directories(switchyard_compiler INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(switchyard_compiler INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wpedantic
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -ffp-contract=off -fno-math-errno -fstack-protector-strong>)
if(SWITCHYARD_WARNINGS_ARE_ERRORS)
  target_compile_options(switchyard_compiler INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(SWITCHYARD_SANITIZE)
  target_compile_options(switchyard_compiler INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SWITCHYARD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(switchyard_compiler INTERFACE -fsanitize=${SWITCHYARD_SANITIZE})
else()
  target_compile_definitions(switchyard_compiler INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>:_FORTIFY_SOURCE=2>)
endif()
target_link_options(switchyard_compiler INTERFACE -Wl,-z,relro,-z,now)
target_link_libraries(switchyard_compiler INTERFACE Threads::Threads)

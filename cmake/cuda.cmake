# nvcc and its flags, for builds with SWITCHYARD_CUDA.
#   -fmad=false: kernels that want a fused multiply-add say so, as on the CPU; the tests run the same sources on the host
#     and rely on the same roundings.
#   --expt-relaxed-constexpr: arithmetic that host and device share is constexpr and needs no other mark.
#   architectures: what SWITCHYARD_CUDA_ARCHITECTURES lists, machine code for each and PTX of the first for later chips.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(SWITCHYARD_NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin REQUIRED)
  set(CMAKE_CUDA_COMPILER ${SWITCHYARD_NVCC})
endif()
set(CMAKE_CUDA_ARCHITECTURES OFF)
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # one runtime in the program: the one that the rest links
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # older CMakes do not know it of newer compilers
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
find_package(CUDAToolkit 12.0 REQUIRED)

add_library(switchyard_cuda_flags INTERFACE)      # for any architecture
add_library(switchyard_cuda_compiler INTERFACE)   # with those asked for
target_link_libraries(switchyard_cuda_compiler INTERFACE switchyard_cuda_flags)
set(architecture_flags "")
list(GET SWITCHYARD_CUDA_ARCHITECTURES 0 first_architecture)
foreach(architecture ${SWITCHYARD_CUDA_ARCHITECTURES})
  list(APPEND architecture_flags "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
endforeach()
list(APPEND architecture_flags "SHELL:-gencode arch=compute_${first_architecture},code=compute_${first_architecture}")
target_compile_options(switchyard_cuda_compiler INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${architecture_flags}>")
target_compile_options(switchyard_cuda_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-fmad=false;--threads=0;-Xptxas=-v;-Xcompiler=-Wall,-Wextra,-fno-math-errno>")
if(SWITCHYARD_WARNINGS_ARE_ERRORS)
  target_compile_options(switchyard_cuda_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings;-Xcompiler=-Werror>")
endif()

# Programs look for their libraries beside themselves first (scripts/gpu_check makes such a bundle). RPATH, not RUNPATH:
# it also serves what those libraries need.
list(APPEND CMAKE_BUILD_RPATH "$ORIGIN/../lib")
add_link_options(-Wl,--disable-new-dtags)

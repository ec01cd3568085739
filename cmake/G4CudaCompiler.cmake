# Where the CUDA compiler is, before the language is enabled: as CMake is told (CMAKE_CUDA_COMPILER, CUDACXX), a toolkit
# of the system, or the compiler's wheels in the Python that builds (`G4CPP_CUDA=wheels pip install .`, pyproject.toml).
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(G4_NVCC nvcc HINTS "$ENV{CUDA_PATH}" PATHS /usr/local/cuda /opt/cuda PATH_SUFFIXES bin)
  if(NOT G4_NVCC)
    find_package(Python COMPONENTS Interpreter)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
              "import pathlib, sys; print(next((str(p) for d in sys.path for p in pathlib.Path(d).glob('nvidia/cu13/bin/nvcc')), ''))"
      OUTPUT_VARIABLE G4_NVCC
      OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  if(NOT G4_NVCC)
    message(FATAL_ERROR "G4CPP_CUDA: no CUDA compiler. Install a CUDA 13 toolkit, or let pip bring the compiler: "
                        "G4CPP_CUDA=wheels pip install .")
  endif()
  set(CMAKE_CUDA_COMPILER "${G4_NVCC}")
  cmake_path(GET G4_NVCC PARENT_PATH bin)
  cmake_path(GET bin PARENT_PATH toolkit)
  if(NOT EXISTS "${toolkit}/lib64")  # the wheels', which nvcc does not look for
    string(APPEND CMAKE_CUDA_FLAGS_INIT " -L${toolkit}/lib")
  endif()
endif()

# Every architecture unless this machine has devices: then theirs, which compiles in a sixth of the time.
set(every "75-real;80-real;86-real;89;90a-real;120a-real")
find_program(G4_NVIDIA_SMI nvidia-smi)
if(G4_NVIDIA_SMI AND NOT G4CPP_CUDA_ARCHITECTURES)
  execute_process(COMMAND "${G4_NVIDIA_SMI}" --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE capabilities ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
  list(TRANSFORM capabilities REPLACE "\\." "")
  # What only these two can do has names of its own.
  list(TRANSFORM capabilities REPLACE "^(90|120)$" "\\1a")
  list(TRANSFORM capabilities APPEND "-real")
  list(REMOVE_DUPLICATES capabilities)
  if(capabilities)  # else the program is there and the driver is not
    set(every "${capabilities}")
  endif()
endif()
set(G4CPP_CUDA_ARCHITECTURES "${every}" CACHE STRING "CUDA architectures, as for CMAKE_CUDA_ARCHITECTURES")

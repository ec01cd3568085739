# Language level, warnings, sanitizers and the compiler cache, for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(G4CPP_CCACHE ccache)
if(G4CPP_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${G4CPP_CCACHE})
endif()

find_package(Threads REQUIRED)

add_library(g4_settings INTERFACE)
target_include_directories(g4_settings INTERFACE ${PROJECT_SOURCE_DIR}/src)
set(options -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
if(G4CPP_WERROR)
  list(APPEND options -Werror)
endif()
# Contraction would make results depend on the instruction set a function happens to be compiled for.
list(APPEND options -ffp-contract=off)
if(G4CPP_SANITIZE)
  list(APPEND options -fsanitize=${G4CPP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
endif()
target_compile_options(g4_settings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${options}>")  # nvcc knows others
target_link_libraries(g4_settings INTERFACE Threads::Threads)
if(G4CPP_SANITIZE)
  target_link_options(g4_settings INTERFACE -fsanitize=${G4CPP_SANITIZE})
endif()

# Version, compiler and source revision: what a backend loaded at run time must share with the core.
execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
                OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
set(G4CPP_BUILD_ID "${PROJECT_VERSION}-${revision}-${CMAKE_CXX_COMPILER_ID}${CMAKE_CXX_COMPILER_VERSION}")

# Run at each build (cmake -P): writes OUTPUT with the commit of SOURCE, touching it only if the text changes, so that
# an unchanged commit costs no recompilation. The other values were fixed when CMake was configured.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE FAILED)
if(FAILED OR NOT COMMIT)
  set(COMMIT unknown)
endif()
string(CONCAT TEXT
  "#define SWITCHYARD_BUILD_VERSION \"${VERSION}\"\n"
  "#define SWITCHYARD_BUILD_COMMIT \"${COMMIT}\"\n"
  "#define SWITCHYARD_BUILD_COMPILER \"${COMPILER}\"\n"
  "#define SWITCHYARD_BUILD_MODE \"${MODE}\"\n"
  "#define SWITCHYARD_BUILD_MPI \"${MPI}\"\n"
  "#define SWITCHYARD_BUILD_HDF5 \"${HDF5}\"\n"
  "#define SWITCHYARD_BUILD_CUDA \"${CUDA}\"\n")
set(OLD "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} OLD)
endif()
if(NOT OLD STREQUAL TEXT)
  file(WRITE ${OUTPUT} "${TEXT}")
endif()

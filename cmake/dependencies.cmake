# Every outside library. Debian's packages are found as usual; wheels that carry C++ libraries are
# unpacked by scripts/setup into third_party/wheels.
set(WHEELS ${CMAKE_SOURCE_DIR}/third_party/wheels)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(tomlplusplus REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(libedit IMPORTED_TARGET libedit)  # optional: chat's lines can be edited
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(sentencepiece REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)

# oneDNN 3; Debian's 2.6 has another interface.
find_package(dnnl 3 CONFIG REQUIRED PATHS ${WHEELS}/lib/cmake/dnnl NO_DEFAULT_PATH)
# Its threads are those of base/thread_pool.h: every call of OpenMP that it makes must be answered
# there, since libgomp would answer the others by its own idea of who runs.
get_target_property(DNNL_FILE DNNL::dnnl IMPORTED_LOCATION_RELEASE)
execute_process(COMMAND ${CMAKE_NM} --dynamic --undefined-only ${DNNL_FILE}
                OUTPUT_VARIABLE DNNL_CALLS COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "(GOMP|omp)_[a-z_]+" DNNL_CALLS "${DNNL_CALLS}")
file(READ ${CMAKE_SOURCE_DIR}/src/base/openmp.cpp OPENMP)
foreach(CALL ${DNNL_CALLS})
  if(NOT OPENMP MATCHES " ${CALL}\\(")
    message(FATAL_ERROR "oneDNN calls ${CALL}; src/base/openmp.cpp must answer it")
  endif()
endforeach()

if(ARGOSY_BENCH)
  pkg_check_modules(openblas IMPORTED_TARGET openblas)  # optional, a peer of bench_bare alone
endif()
if(ARGOSY_WITH_DATA)
  pkg_check_modules(ffmpeg IMPORTED_TARGET libavformat libavcodec libavutil libswscale)
  pkg_check_modules(turbojpeg IMPORTED_TARGET libturbojpeg)
  foreach(LIB arrow parquet)
    file(GLOB LIB_FILE ${WHEELS}/pyarrow/lib${LIB}.so.[0-9]*)
    if(LIB_FILE)
      add_library(arrow::${LIB} SHARED IMPORTED)
      set_target_properties(arrow::${LIB} PROPERTIES
        IMPORTED_LOCATION ${LIB_FILE} INTERFACE_INCLUDE_DIRECTORIES ${WHEELS}/pyarrow/include)
    endif()
  endforeach()
  if(NOT ffmpeg_FOUND OR NOT turbojpeg_FOUND OR NOT TARGET arrow::parquet)
    message(WARNING "FFmpeg, TurboJPEG or Arrow is missing: ingest, data sets, train and eval are left out; "
                    "run scripts/setup to have them")
    set(ARGOSY_WITH_DATA OFF)
  endif()
endif()
if(ARGOSY_WITH_QUERY AND ARGOSY_WITH_DATA)
  find_library(DUCKDB duckdb PATHS ${WHEELS}/bareduckdb/_libs)
  if(DUCKDB)
    add_library(duckdb SHARED IMPORTED)
    set_target_properties(duckdb PROPERTIES IMPORTED_LOCATION ${DUCKDB})
  else()
    message(WARNING "DuckDB is missing: data query is left out; run scripts/setup to have it")
  endif()
endif()
if(NOT TARGET duckdb)
  set(ARGOSY_WITH_QUERY OFF)
endif()

if(ARGOSY_WITH_SERVER)
  find_package(Boost 1.74)  # headers alone
  if(NOT Boost_FOUND)
    message(WARNING "Boost is missing: serve is left out; run scripts/setup to have it")
    set(ARGOSY_WITH_SERVER OFF)
  endif()
endif()

if(ARGOSY_WITH_WORLD)
  file(GLOB MUJOCO ${WHEELS}/mujoco/libmujoco.so.[0-9]*)
  if(MUJOCO)
    add_library(mujoco SHARED IMPORTED)
    set_target_properties(mujoco PROPERTIES
      IMPORTED_LOCATION ${MUJOCO} INTERFACE_INCLUDE_DIRECTORIES ${WHEELS}/mujoco/include)
  else()
    message(WARNING "MuJoCo is missing: the simulated world and fleet are left out; "
                    "run scripts/setup to have them")
    set(ARGOSY_WITH_WORLD OFF)
  endif()
endif()

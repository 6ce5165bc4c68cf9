"""The plan that check_layering.py holds the tree to: who may see whom, where third parties live, sizes, words."""

# Each folder, and the folders that it may see besides itself.
MAY_SEE = {
    "kernels": set(),
    "parallel": {"kernels"},
    "data": {"kernels"},
    "moe": {"kernels", "parallel"},
    "app": {"kernels", "parallel", "data", "moe"},
    "tests": {"kernels", "parallel", "data", "moe", "app"},
}

# Third-party headers and where they may be included: a path prefix ending in "/", or one file.
HEADER_PLACES = [
    (r"mpi\.h|mpi/.*|mpi-ext\.h", ["parallel/"]),
    (r"nccl\.h", ["parallel/"]),
    (r"H5.*\.h|H5Cpp\.h|hdf5\.h|hdf5/.*", ["data/tokens/shard/hdf5_layout.cpp", "tests/data/", "tests/faults/"]),
    (r"yaml-cpp/.*|yaml\.h", ["app/config/"]),
    (r"cuda.*|cublas.*|cudnn.*|cub/.*|thrust/.*|cutlass/.*|cooperative_groups.*|nv(tx3/|rtc|ml).*",
     ["kernels/cuda/", "tests/support/cuda_on_host/", "tests/kernels/cuda/"]),
    (r"dnnl.*|oneapi/dnnl/.*", ["kernels/cpu/", "tests/bench/"]),
    (r"cblas\.h|openblas.*|benchmark/.*", ["tests/bench/"]),
    (r"gtest/.*|gmock/.*|sanitizer/.*", ["tests/"]),
    (r"CLI/.*", ["app/"]),
    (r"spdlog/.*", ["app/", "parallel/", "data/", "tests/"]),
    (r"nlohmann/.*", ["app/", "data/", "tests/"]),
    (r"fmt/.*", ["kernels/", "parallel/", "data/", "moe/", "app/", "tests/"]),
    (r"xxhash\.h|xxh3\.h", ["data/"]),
    (r"zstd.*\.h", ["data/"]),
    (r"pcre2.*\.h|utf8proc\.h", ["data/"]),
    # Files belong to data. moe is the model as pure computation, so not even paths pass through it.
    (r"fstream|filesystem|sys/mman\.h",
     ["data/", "app/", "tests/", "kernels/runtime/buffer.cpp", "parallel/watchdog/record/board.cpp"]),
]
# Folders of the system's own headers; any other <folder/header.h> needs a place above.
SYSTEM_HEADER_FOLDERS = {"sys", "linux", "asm", "arpa", "net", "netinet"}
GENERATED_HEADERS = {"switchyard_build_info.h"}

# What CMake may link where, by the same rule.
LIBRARY_PLACES = [
    (r"MPI::.*|mpi|mpi_cxx", ["parallel/"]),
    (r".*nccl.*", ["parallel/"]),
    (r"hdf5.*|HDF5.*", ["data/tokens/", "tests/data/", "tests/faults/"]),
    (r"yaml-cpp.*", ["app/config/"]),
    (r"CUDA::.*|cud.*|cublas.*", ["kernels/cuda/"]),
    (r"DNNL::.*|dnnl", ["kernels/cpu/", "tests/bench/"]),
    (r".*openblas.*|.*BLAS.*|.*cblas.*|benchmark::.*|OpenMP::.*", ["tests/bench/"]),
    (r"GTest::.*", ["tests/"]),
    (r"CLI11::.*", ["app/"]),
    (r"spdlog::.*", ["app/", "parallel/", "data/", "tests/"]),
    (r"nlohmann_json::.*", ["app/", "data/", "tests/"]),
    (r"fmt::.*", ["kernels/", "parallel/", "data/", "moe/", "app/", "tests/"]),
    (r"PkgConfig::(XXHASH|ZSTD|PCRE2|UTF8PROC)", ["data/"]),
    (r"\$.*", ["tests/bench/", "kernels/cuda/", "parallel/", "tests/CMakeLists.txt"]),  # a variable hides what it links
    (r"switchyard_cuda_(compiler|flags)", ["kernels/cuda/"]),
    (r"Threads::Threads|switchyard_compiler", ["kernels/", "parallel/", "data/", "moe/", "app/", "tests/"]),
]

# Undefined symbols of the static libraries, and the library (and object files, if given) that may have them.
SYMBOL_PLACES = [
    (r"P?MPI_\w+|ompi_\w+", "parallel", None),
    (r"nccl\w+", "parallel", None),
    (r"H5[A-Z]\w*", "data", {"hdf5_layout.cpp.o"}),
    (r"_ZNK?S?t?\w*4YAML\w*|_Z\w*N4YAML\w*", "app", None),
    (r"cuda[A-Z]\w*|cublas\w+|cudnn\w+|__cuda\w+", "kernels", None),
    (r"dnnl_\w+|_ZNK?4dnnl\w*", "kernels", None),
    (r"XXH3?_\w+|ZSTD_\w+|pcre2_\w+|utf8proc_\w+", "data", None),
]

LABELS = {"unit", "grad", "ranks", "regression", "cli", "faults", "slow"}
SOURCE_ENDINGS = {".h", ".cpp", ".cu", ".cuh"}
TEXT_ENDINGS = SOURCE_ENDINGS | {".py", ".sh", ".md", ".yaml", ".yml", ".cmake", ".supp", ""}
# Tests of what only an optimised build has; a build with sanitizers lacks them.
OPTIMISED_ONLY = {"isa_symbols_test.cpp"}
SOFT_LINES, HARD_LINES, SOFT_FILES = 300, 800, 12
LIBRARIES = ["kernels", "parallel", "data", "moe", "app"]
TREE = LIBRARIES + ["tests", "scripts", "configs", "cmake", "docs", ".ci"]

# Leftovers that say where or how something was written instead of what it is. Character classes keep the list from
# finding itself.
FORBIDDEN_WORDS = [
    (r"/[w]ork/", "no path of one machine"),
    (r"/([h]ome|[U]sers)/\w", "no path of one machine"),
    (r"\.\./[s]hared/|\b[d]esign section \d|\b[d]esign\.md\b", "no reference to what lies outside the repository"),
    (r"\b([Ii]ssue|[Tt]icket) (#\d|[A-Z]\b)", "no number of a tracker, say the reason instead"),
    (r"(?i)\b(sub)?[a]gents?\b|\b[h]elper sessions?\b|\bworking [s]essions?\b", "no talk about who wrote it"),
    (r"\b[T]ODO\b|\b[F]IXME\b|\b[X]XX\b", "no unfinished work: do it, or state the limit plainly"),
    (r"(?i)\b(pypi|crates|proxy\.golang|registry\.npmjs|deb\.debian|archive\.ubuntu)\.(org|com|io)\b", "no package host"),
]

#include "data/tokens/shard/hdf5_layout.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <utility>

#include "kernels/runtime/check.h"

namespace switchyard::data {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they lie on disk");

namespace {

constexpr const char* kTokens = "tokens";
constexpr const char* kDocumentOffsets = "document_offsets";
constexpr const char* kBlockDigests = "block_digests";
constexpr std::uint64_t kNumAttributes = 7;

class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }
  bool is_valid() const { return id_ >= 0; }
  /// Closes now and says whether that worked: closing a file is where HDF5 writes its last bytes.
  bool close_now() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// Debian's HDF5 is not thread-safe: every entry from outside holds this lock. The first one switches off
/// plugins (a file could name a shared object to load), the library's own printing of errors, and its
/// clean-up at exit: after a full disk H5Fclose fails, and that clean-up would close the same file again and
/// crash. (That last switch works only before HDF5 is first used; in our programs nothing uses it earlier.)
std::unique_lock<std::mutex> enter_hdf5() {
  static std::mutex mutex;
  std::unique_lock lock(mutex);
  static const bool is_ready = [] {
    (void)H5dont_atexit();
    return H5PLset_loading_state(0) >= 0;
  }();
  SWITCHYARD_CHECK(is_ready, "HDF5 must let its plugins be switched off");
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  return lock;
}

/// HDF5's own words for its last failure.
std::string hdf5_reason() {
  std::string reason = "no reason given";
  const auto keep_first = [](unsigned index, const H5E_error2_t* error, void* out) -> herr_t {
    if (index == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
  return reason;
}

// ---- writing ----

class Writer {
 public:
  explicit Writer(const std::filesystem::path& path) : path_(path) {}

  void write(const ShardContents& contents);

 private:
  Handle made(hid_t id, herr_t (*close)(hid_t), const char* what) const {
    done(id < 0 ? -1 : 0, what);
    return {id, close};
  }
  void done(herr_t status, const char* what) const {
    if (status < 0)
      throw DiskError(fmt::format("disk: {} of a token shard must succeed; got '{}' ({}): check free space",
                                  what, hdf5_reason(), path_.string()));
  }
  Handle create_file() const;
  Handle create_dataset(hid_t file, const char* name, hid_t type,
                        std::initializer_list<hsize_t> extents) const;
  template <typename Fill>
  void fill_dataset(hid_t dataset, hid_t memory_type, std::uint64_t count, std::size_t width,
                    const Fill& fill) const;
  void put_number(hid_t group, const char* name, hid_t file_type, std::uint64_t value) const;
  void put_text(hid_t group, const char* name, const std::string& value) const;
  void put_attributes(hid_t group, const ShardAttributes& attributes) const;

  std::filesystem::path path_;
};

Handle Writer::create_file() const {
  const Handle access = made(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "setting up");
  done(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), "setting up");
  done(H5Pset_alignment(access, 4096, 4096), "setting up");  // long tokens begin on a page
  const Handle creation = made(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "setting up");
  done(H5Pset_obj_track_times(creation, false), "setting up");  // equal contents, equal bytes
  return made(H5Fcreate(path_.c_str(), H5F_ACC_EXCL, creation, access), H5Fclose, "creating");
}

Handle Writer::create_dataset(hid_t file, const char* name, hid_t type,
                              std::initializer_list<hsize_t> extents) const {
  const Handle space = made(H5Screate_simple(static_cast<int>(extents.size()), extents.begin(), nullptr),
                            H5Sclose, "laying out");
  const Handle creation = made(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "laying out");
  done(H5Pset_layout(creation, H5D_CONTIGUOUS), "laying out");
  done(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY), "laying out");
  done(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), "laying out");
  done(H5Pset_obj_track_times(creation, false), "laying out");
  return made(H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT), H5Dclose,
              "laying out");
}

template <typename Fill>
void Writer::fill_dataset(hid_t dataset, hid_t memory_type, std::uint64_t count, std::size_t width,
                          const Fill& fill) const {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(kBlockBytes, count * width));
  const Handle file_space = made(H5Dget_space(dataset), H5Sclose, "writing");
  for (std::uint64_t first = 0; first < count;) {
    const hsize_t size = std::min<std::uint64_t>(buffer.size() / width, count - first);
    fill(first, static_cast<std::size_t>(size), buffer.data());
    const hsize_t start = first;
    done(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &size, nullptr), "writing");
    const Handle memory_space = made(H5Screate_simple(1, &size, nullptr), H5Sclose, "writing");
    done(H5Dwrite(dataset, memory_type, memory_space, file_space, H5P_DEFAULT, buffer.data()), "writing");
    first += size;
  }
}

void Writer::put_number(hid_t group, const char* name, hid_t file_type, std::uint64_t value) const {
  const Handle space = made(H5Screate(H5S_SCALAR), H5Sclose, "describing");
  const Handle attribute =
      made(H5Acreate2(group, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "describing");
  done(H5Awrite(attribute, H5T_NATIVE_UINT64, &value), "describing");
}

void Writer::put_text(hid_t group, const char* name, const std::string& value) const {
  SWITCHYARD_CHECK(!value.empty() && value.size() <= kMaxNameBytes, "attribute {} of {} bytes", name,
                   value.size());
  const Handle type = made(H5Tcopy(H5T_C_S1), H5Tclose, "describing");
  done(H5Tset_size(type, value.size()), "describing");
  done(H5Tset_strpad(type, H5T_STR_NULLPAD), "describing");
  const Handle space = made(H5Screate(H5S_SCALAR), H5Sclose, "describing");
  const Handle attribute =
      made(H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "describing");
  done(H5Awrite(attribute, type, value.data()), "describing");
}

void Writer::put_attributes(hid_t group, const ShardAttributes& attributes) const {
  put_number(group, "format_version", H5T_STD_U32LE, attributes.format_version);
  put_number(group, "vocab_size", H5T_STD_U64LE, attributes.vocab_size);
  put_text(group, "tokenizer_name", attributes.tokenizer_name);
  put_text(group, "tokenizer_digest", attributes.tokenizer_digest.text());
  put_number(group, "end_of_document", H5T_STD_U64LE, attributes.end_of_document);
  put_text(group, "split", attributes.split);
  put_number(group, "continues_document", H5T_STD_U8LE, attributes.continues_document ? 1 : 0);
}

void Writer::write(const ShardContents& contents) {
  const std::uint32_t width = token_width(contents.attributes.vocab_size);
  Handle file = create_file();
  {
    const Handle root = made(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, "describing");
    put_attributes(root, contents.attributes);
    const Handle offsets = create_dataset(file, kDocumentOffsets, H5T_STD_U64LE, {contents.num_parts + 1});
    const Handle digests =
        create_dataset(file, kBlockDigests, H5T_STD_U64LE, {contents.block_digests.size(), 2});
    const Handle tokens =
        create_dataset(file, kTokens, width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE, {contents.num_tokens});
    fill_dataset(offsets, H5T_NATIVE_UINT64, contents.num_parts + 1, 8, contents.read_document_offsets);
    fill_dataset(tokens, width == 2 ? H5T_NATIVE_UINT16 : H5T_NATIVE_UINT32, contents.num_tokens, width,
                 contents.read_tokens);
    static_assert(sizeof(Digest) == 16);
    done(H5Dwrite(digests, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, contents.block_digests.data()),
         "writing");
  }
  done(H5Fflush(file, H5F_SCOPE_GLOBAL), "flushing");
  done(file.close_now() ? 0 : -1, "closing");
}

// ---- reading ----

struct DatasetPlace {
  std::uint64_t offset = 0;
  std::array<hsize_t, 2> extents{};
};

class LayoutReader {
 public:
  explicit LayoutReader(const std::filesystem::path& path) : path_(path) {}

  ShardLayout read();

 private:
  [[noreturn]] void refuse(const std::string& rule) const {
    throw DataError(fmt::format(
        "data: a token shard must {} ({}): this is no shard of switchyard prepare, prepare the text again",
        rule, path_.string()));
  }
  void require(bool holds, const char* rule) const {
    if (!holds) refuse(rule);
  }
  Handle opened(hid_t id, herr_t (*close)(hid_t), const char* what) const {
    if (id < 0) refuse(fmt::format("have a readable {}; HDF5 says '{}'", what, hdf5_reason()));
    return {id, close};
  }
  Handle open_file() const;
  void check_objects(hid_t file, hid_t root) const;
  DatasetPlace place_of(hid_t file, const char* name, hid_t type, int ndim) const;
  std::uint64_t number(hid_t root, const char* name, hid_t type) const;
  std::string text(hid_t root, const char* name) const;
  ShardAttributes attributes(hid_t root) const;

  std::filesystem::path path_;
};

Handle LayoutReader::open_file() const {
  const Handle access = opened(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "file");
  // Read-only shards lie on NFS and Lustre too, where locks may not work; a committed shard never changes.
  require(H5Pset_file_locking(access, false, true) >= 0, "be opened without locks");
  return opened(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access), H5Fclose, "HDF5 structure");
}

/// Three hard links to datasets of known names, the attributes, and nothing more.
void LayoutReader::check_objects(hid_t file, hid_t root) const {
  const Handle creation = opened(H5Fget_create_plist(file), H5Pclose, "file creation list");
  hsize_t user_block = 0;
  require(H5Pget_userblock(creation, &user_block) >= 0 && user_block == 0, "have no user block");
  H5G_info_t group{};
  require(H5Gget_info(root, &group) >= 0 && group.nlinks == 3, "have exactly three links in its root group");
  for (const char* name : {kTokens, kDocumentOffsets, kBlockDigests}) {
    H5L_info_t link{};
    if (H5Lget_info(root, name, &link, H5P_DEFAULT) < 0) refuse(fmt::format("have a dataset '{}'", name));
    if (link.type != H5L_TYPE_HARD)
      refuse(fmt::format("hold '{}' itself, not a soft or external link", name));
    H5O_info_t object{};
    if (H5Oget_info_by_name2(root, name, &object, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS, H5P_DEFAULT) < 0 ||
        object.type != H5O_TYPE_DATASET || object.num_attrs != 0 || object.rc != 1)
      refuse(fmt::format("hold '{}' as a dataset without attributes", name));
  }
  H5O_info_t object{};
  require(H5Oget_info2(root, &object, H5O_INFO_NUM_ATTRS) >= 0 && object.num_attrs == kNumAttributes,
          "have exactly seven attributes");
}

DatasetPlace LayoutReader::place_of(hid_t file, const char* name, hid_t type, int ndim) const {
  const Handle dataset = opened(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose, name);
  const Handle creation = opened(H5Dget_create_plist(dataset), H5Pclose, name);
  if (H5Pget_layout(creation) != H5D_CONTIGUOUS)
    refuse(fmt::format("keep '{}' contiguous, not chunked, compact or virtual", name));
  if (H5Pget_external_count(creation) != 0)
    refuse(fmt::format("hold '{}' itself, not in an external file", name));
  if (H5Pget_nfilters(creation) != 0) refuse(fmt::format("keep '{}' without filters", name));
  const Handle found_type = opened(H5Dget_type(dataset), H5Tclose, name);
  if (H5Tequal(found_type, type) <= 0)
    refuse(fmt::format("keep '{}' as unsigned little-endian numbers of {} bytes", name, H5Tget_size(type)));

  DatasetPlace place;
  std::array<hsize_t, 2> limits{};
  const Handle space = opened(H5Dget_space(dataset), H5Sclose, name);
  if (H5Sget_simple_extent_type(space) != H5S_SIMPLE || H5Sget_simple_extent_ndims(space) != ndim ||
      H5Sget_simple_extent_dims(space, place.extents.data(), limits.data()) != ndim)
    refuse(fmt::format("give '{}' {} dim(s)", name, ndim));
  if (limits != place.extents) refuse(fmt::format("give '{}' a fixed size", name));
  const std::uint64_t elements = place.extents[0] * (ndim == 2 ? place.extents[1] : 1);
  if (place.extents[0] == 0 || place.extents[0] > kMaxShardTokens + 1 || place.extents[1] > 2 ||
      H5Dget_storage_size(dataset) != elements * H5Tget_size(type))
    refuse(fmt::format("give '{}' as many bytes as its dims say", name));
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) refuse(fmt::format("have storage for '{}'", name));
  place.offset = offset;
  return place;
}

std::uint64_t LayoutReader::number(hid_t root, const char* name, hid_t type) const {
  const Handle attribute = opened(H5Aopen(root, name, H5P_DEFAULT), H5Aclose, name);
  const Handle space = opened(H5Aget_space(attribute), H5Sclose, name);
  const Handle found_type = opened(H5Aget_type(attribute), H5Tclose, name);
  std::uint64_t value = 0;
  if (H5Sget_simple_extent_type(space) != H5S_SCALAR || H5Tequal(found_type, type) <= 0 ||
      H5Aread(attribute, H5T_NATIVE_UINT64, &value) < 0)
    refuse(fmt::format("have attribute '{}' as one unsigned number of {} bytes", name, H5Tget_size(type)));
  return value;
}

std::string LayoutReader::text(hid_t root, const char* name) const {
  const Handle attribute = opened(H5Aopen(root, name, H5P_DEFAULT), H5Aclose, name);
  const Handle space = opened(H5Aget_space(attribute), H5Sclose, name);
  const Handle type = opened(H5Aget_type(attribute), H5Tclose, name);
  const std::size_t size = H5Tget_size(type);
  if (H5Sget_simple_extent_type(space) != H5S_SCALAR || H5Tget_class(type) != H5T_STRING ||
      H5Tis_variable_str(type) != 0 || size == 0 || size > kMaxNameBytes)
    refuse(fmt::format("have attribute '{}' as fixed-length text of 1 to {} bytes", name, kMaxNameBytes));
  std::string value(size, '\0');
  if (H5Aread(attribute, type, value.data()) < 0) refuse(fmt::format("have a readable attribute '{}'", name));
  return value;
}

ShardAttributes LayoutReader::attributes(hid_t root) const {
  ShardAttributes found;
  found.format_version = static_cast<std::uint32_t>(number(root, "format_version", H5T_STD_U32LE));
  if (found.format_version != kShardFormatVersion)
    refuse(fmt::format("have format version {}; got {}", kShardFormatVersion, found.format_version));
  found.vocab_size = number(root, "vocab_size", H5T_STD_U64LE);
  require(found.vocab_size > 0 && found.vocab_size <= kMaxVocabSize, "have a vocabulary of 1 to 2^30 tokens");
  found.tokenizer_name = text(root, "tokenizer_name");
  found.tokenizer_digest = Digest::parse(text(root, "tokenizer_digest"));
  found.end_of_document = number(root, "end_of_document", H5T_STD_U64LE);
  require(found.end_of_document < found.vocab_size, "have its end_of_document inside the vocabulary");
  found.split = text(root, "split");
  const std::uint64_t continues = number(root, "continues_document", H5T_STD_U8LE);
  require(continues <= 1, "have continues_document 0 or 1");
  found.continues_document = continues == 1;
  return found;
}

ShardLayout LayoutReader::read() {
  const Handle file = open_file();
  const Handle root = opened(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, "root group");
  check_objects(file, root);
  ShardLayout layout;
  layout.attributes = attributes(root);
  const std::uint32_t width = token_width(layout.attributes.vocab_size);
  const DatasetPlace tokens = place_of(file, kTokens, width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE, 1);
  const DatasetPlace offsets = place_of(file, kDocumentOffsets, H5T_STD_U64LE, 1);
  const DatasetPlace digests = place_of(file, kBlockDigests, H5T_STD_U64LE, 2);
  layout.num_tokens = tokens.extents[0];
  layout.tokens_offset = tokens.offset;
  layout.num_parts = offsets.extents[0] - 1;
  layout.document_offsets_offset = offsets.offset;
  layout.num_blocks = digests.extents[0];
  layout.block_digests_offset = digests.offset;
  require(layout.num_tokens <= kMaxShardTokens, "have at most 2^40 tokens");
  require(layout.num_parts >= 1 && layout.num_parts <= layout.num_tokens, "have 1 to num_tokens documents");
  require(digests.extents[1] == 2, "keep a digest as two numbers");
  require(layout.num_blocks == (layout.num_tokens * width + kBlockBytes - 1) / kBlockBytes,
          "have one digest for each MiB of tokens");
  return layout;
}

}  // namespace

void write_shard_file(const std::filesystem::path& path, const ShardContents& contents) {
  const auto lock = enter_hdf5();
  Writer(path).write(contents);
}

ShardLayout read_shard_layout(const std::filesystem::path& path) {
  const auto lock = enter_hdf5();
  return LayoutReader(path).read();
}

}  // namespace switchyard::data

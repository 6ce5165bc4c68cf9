// HDF5 files that are no shards of ours, each with one thing wrong, behind a manifest entry whose digests
// fit: only the allow-list stands between them and the reader.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <functional>

#include "data/tokens/shard/hdf5_layout.h"
#include "data/tokens/shard/shard_reader.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::HasSubstr;

/// What a file is made of; each test changes one thing.
struct Recipe {
  hid_t token_type = H5T_STD_U16LE;
  std::vector<hsize_t> token_dims = {4};
  std::vector<hsize_t> token_limits;  // empty: fixed
  hid_t token_creation = H5P_DEFAULT;
  hsize_t num_offsets = 2;
  std::vector<hsize_t> digest_dims = {1, 2};
  hsize_t user_block = 0;
  std::function<void(hid_t file)> add;  // more objects
  std::function<void(hid_t file)> change;
  std::set<std::string> left_out;  // attributes
  std::uint64_t version = 1;
  std::uint64_t vocab_size = 257;
  std::uint64_t end_of_document = 256;
  std::uint64_t continues = 0;
  bool variable_text = false;
};

void put_number(hid_t file, const char* name, hid_t type, std::uint64_t value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  H5Awrite(attribute, H5T_NATIVE_UINT64, &value);
  H5Aclose(attribute);
  H5Sclose(space);
}

void put_text(hid_t file, const char* name, const std::string& value, bool is_variable) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, is_variable ? H5T_VARIABLE : value.size());
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const char* pointer = value.c_str();
  H5Awrite(attribute, type, is_variable ? static_cast<const void*>(&pointer) : pointer);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

void put_dataset(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& dims,
                 const std::vector<hsize_t>& limits = {}, hid_t creation = H5P_DEFAULT) {
  const hid_t space =
      H5Screate_simple(static_cast<int>(dims.size()), dims.data(), limits.empty() ? nullptr : limits.data());
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0) << name;
  const std::vector<std::uint64_t> values(64, 0);
  H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Dclose(dataset);
  H5Sclose(space);
}

void make_file(const std::filesystem::path& path, const Recipe& recipe) {
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_userblock(creation, recipe.user_block);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const auto wants = [&](const char* name) { return !recipe.left_out.contains(name); };
  if (wants("format_version")) put_number(file, "format_version", H5T_STD_U32LE, recipe.version);
  if (wants("vocab_size")) put_number(file, "vocab_size", H5T_STD_U64LE, recipe.vocab_size);
  if (wants("tokenizer_name")) put_text(file, "tokenizer_name", "bytes", recipe.variable_text);
  if (wants("tokenizer_digest")) put_text(file, "tokenizer_digest", std::string(32, 'a'), false);
  if (wants("end_of_document")) put_number(file, "end_of_document", H5T_STD_U64LE, recipe.end_of_document);
  if (wants("split")) put_text(file, "split", "train", false);
  if (wants("continues_document")) put_number(file, "continues_document", H5T_STD_U8LE, recipe.continues);
  if (wants("tokens"))
    put_dataset(file, "tokens", recipe.token_type, recipe.token_dims, recipe.token_limits,
                recipe.token_creation);
  if (wants("document_offsets")) put_dataset(file, "document_offsets", H5T_STD_U64LE, {recipe.num_offsets});
  if (wants("block_digests")) put_dataset(file, "block_digests", H5T_STD_U64LE, recipe.digest_dims);
  if (recipe.add) recipe.add(file);
  H5Fclose(file);
  H5Pclose(creation);
}

class ForeignHdf5 : public testing::Test {
 protected:
  std::string refusal(const Recipe& recipe) {
    make_file(folder_ / "a.h5", recipe);
    return message_of<DataError>([&] { read_shard_layout(folder_ / "a.h5"); });
  }
  TemporaryFolder folder_;
};

TEST_F(ForeignHdf5, TheRecipeItselfIsAccepted) {
  make_file(folder_ / "a.h5", {});
  const ShardLayout layout = read_shard_layout(folder_ / "a.h5");
  EXPECT_EQ(layout.num_tokens, 4U);
  EXPECT_EQ(layout.num_parts, 1U);
}

TEST_F(ForeignHdf5, ButNotWithoutTrueDigests) {
  make_file(folder_ / "a.h5", {});
  const ShardEntry entry = describe_shard(folder_ / "a.h5");
  // document_offsets are all zero here: not rising to 4.
  EXPECT_THAT(message_of<DataError>([&] { ShardReader(folder_.path(), entry); }),
              HasSubstr("must rise from 0 to 4"));
}

TEST_F(ForeignHdf5, WrongTypesAreRefused) {
  for (const hid_t type : {H5T_STD_I16LE, H5T_STD_U32LE, H5T_STD_U16BE, H5T_IEEE_F32LE, H5T_STD_U8LE}) {
    Recipe recipe;
    recipe.token_type = type;
    EXPECT_THAT(refusal(recipe), HasSubstr("unsigned little-endian numbers of 2 bytes"));
  }
}

TEST_F(ForeignHdf5, WrongExtentsAreRefused) {
  Recipe recipe;
  recipe.token_dims = {2, 2};
  EXPECT_THAT(refusal(recipe), HasSubstr("dim"));
  recipe = {};
  recipe.token_dims = {};
  EXPECT_THAT(refusal(recipe), HasSubstr("dim"));
  recipe = {};
  recipe.token_dims = {0};
  EXPECT_FALSE(refusal(recipe).empty());
  recipe = {};
  recipe.num_offsets = 1;
  EXPECT_THAT(refusal(recipe), HasSubstr("documents"));
  recipe = {};
  recipe.num_offsets = 6;
  EXPECT_THAT(refusal(recipe), HasSubstr("documents"));
  recipe = {};
  recipe.digest_dims = {2, 2};
  EXPECT_THAT(refusal(recipe), HasSubstr("one digest for each MiB"));
  recipe = {};
  recipe.digest_dims = {2, 1};
  EXPECT_THAT(refusal(recipe), HasSubstr("two numbers"));
}

TEST_F(ForeignHdf5, OtherStorageIsRefused) {
  Recipe chunked;
  chunked.token_creation = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t chunk = 2;
  H5Pset_chunk(chunked.token_creation, 1, &chunk);
  EXPECT_THAT(refusal(chunked), HasSubstr("contiguous"));
  H5Pset_deflate(chunked.token_creation, 1);
  EXPECT_THAT(refusal(chunked), HasSubstr("contiguous"));
  chunked.token_limits = {H5S_UNLIMITED};
  EXPECT_FALSE(refusal(chunked).empty());
  H5Pclose(chunked.token_creation);

  Recipe compact;
  compact.token_creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_layout(compact.token_creation, H5D_COMPACT);
  EXPECT_THAT(refusal(compact), HasSubstr("contiguous"));
  H5Pclose(compact.token_creation);

  Recipe external;
  external.token_creation = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(external.token_creation, (folder_ / "elsewhere").c_str(), 0, 8);
  EXPECT_THAT(refusal(external), HasSubstr("external"));
  H5Pclose(external.token_creation);

  Recipe virtual_storage;
  virtual_storage.token_creation = H5Pcreate(H5P_DATASET_CREATE);
  const hsize_t size = 4;
  const hid_t space = H5Screate_simple(1, &size, nullptr);
  H5Pset_virtual(virtual_storage.token_creation, space, "other.h5", "tokens", space);
  EXPECT_THAT(refusal(virtual_storage), HasSubstr("contiguous"));
  H5Sclose(space);
  H5Pclose(virtual_storage.token_creation);

  Recipe late;  // storage that was never allocated
  late.left_out = {"tokens"};
  late.add = [](hid_t file) {
    const hsize_t extent = 4;
    const hid_t extents = H5Screate_simple(1, &extent, nullptr);
    H5Dclose(H5Dcreate2(file, "tokens", H5T_STD_U16LE, extents, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(extents);
  };
  EXPECT_FALSE(refusal(late).empty());
}

TEST_F(ForeignHdf5, OtherObjectsAndLinksAreRefused) {
  Recipe recipe;
  recipe.add = [](hid_t file) { put_dataset(file, "more", H5T_STD_U16LE, {1}); };
  EXPECT_THAT(refusal(recipe), HasSubstr("three links"));
  for (const char* name : {"tokens", "document_offsets", "block_digests"}) {
    recipe = {};
    recipe.left_out = {name};
    EXPECT_THAT(refusal(recipe), HasSubstr("three links"));
    recipe.add = [](hid_t file) { put_dataset(file, "other", H5T_STD_U16LE, {1}); };
    EXPECT_THAT(refusal(recipe), HasSubstr(name));
    recipe.add = [name](hid_t file) { H5Lcreate_soft("/elsewhere", file, name, H5P_DEFAULT, H5P_DEFAULT); };
    EXPECT_THAT(refusal(recipe), HasSubstr("not a soft or external link"));
    recipe.add = [name](hid_t file) {
      H5Lcreate_external("x.h5", "/y", file, name, H5P_DEFAULT, H5P_DEFAULT);
    };
    EXPECT_THAT(refusal(recipe), HasSubstr("not a soft or external link"));
    recipe.add = [name](hid_t file) {
      H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    };
    EXPECT_THAT(refusal(recipe), HasSubstr("as a dataset"));
  }
  recipe = {};
  recipe.add = [](hid_t file) {
    const hid_t dataset = H5Dopen2(file, "tokens", H5P_DEFAULT);
    put_number(dataset, "extra", H5T_STD_U8LE, 1);
    H5Dclose(dataset);
  };
  EXPECT_THAT(refusal(recipe), HasSubstr("without attributes"));
  recipe = {};
  recipe.user_block = 512;
  EXPECT_FALSE(refusal(recipe).empty());
}

TEST_F(ForeignHdf5, WrongAttributesAreRefused) {
  for (const char* name : {"format_version", "vocab_size", "tokenizer_name", "tokenizer_digest",
                           "end_of_document", "split", "continues_document"}) {
    Recipe recipe;
    recipe.left_out = {name};
    EXPECT_THAT(refusal(recipe), HasSubstr("seven attributes"));
    recipe.add = [](hid_t file) { put_number(file, "foreign", H5T_STD_U8LE, 1); };
    EXPECT_THAT(refusal(recipe), HasSubstr(name));
    recipe.add = [name](hid_t file) { put_number(file, name, H5T_IEEE_F64LE, 1); };
    EXPECT_THAT(refusal(recipe), HasSubstr(name));
    recipe.add = [name](hid_t file) { put_text(file, name, std::string(1000, 'x'), false); };
    EXPECT_THAT(refusal(recipe), HasSubstr(name));
  }
  Recipe recipe;
  recipe.version = 2;
  EXPECT_THAT(refusal(recipe), HasSubstr("format version 1; got 2"));
  recipe = {};
  recipe.vocab_size = 0;
  EXPECT_THAT(refusal(recipe), HasSubstr("vocabulary"));
  recipe.vocab_size = ~0ULL;
  EXPECT_THAT(refusal(recipe), HasSubstr("vocabulary"));
  recipe = {};
  recipe.end_of_document = 257;
  EXPECT_THAT(refusal(recipe), HasSubstr("end_of_document"));
  recipe = {};
  recipe.continues = 2;
  EXPECT_THAT(refusal(recipe), HasSubstr("continues_document"));
  recipe = {};
  recipe.variable_text = true;
  EXPECT_THAT(refusal(recipe), HasSubstr("fixed-length"));
}

TEST_F(ForeignHdf5, WhatIsNoHdf5AtAllIsRefusedInSilence) {
  write_bytes(folder_ / "text.h5", std::string(10000, 'x'));
  testing::internal::CaptureStderr();
  const std::string message = message_of<DataError>([&] { read_shard_layout(folder_ / "text.h5"); });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "HDF5 must not print its error stack";
  EXPECT_THAT(message, HasSubstr("text.h5"));
}

}  // namespace
}  // namespace switchyard::data

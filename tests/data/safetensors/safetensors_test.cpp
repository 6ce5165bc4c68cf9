#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "data/io/faulting_io.h"
#include "data/io/recording_io.h"
#include "data/safetensors/safetensors_file.h"

namespace switchyard::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

/// Why the bytes are refused.
std::string refusal(const std::string& bytes) {
  RecordingIo io;
  write_whole_file(io, "/x.safetensors", bytes);
  try {
    SafetensorsReader reader(io, "/x.safetensors");
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/x.safetensors"));
    return error.what();
  }
  return "accepted";
}

std::string entry(const std::string& dtype, const std::string& shape, int begin, int end) {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + std::to_string(begin) +
         "," + std::to_string(end) + "]}";
}

TEST(Safetensors, WritesTheReferenceBytes) {
  RecordingIo io;
  SafetensorsWriter writer(io, "/a", {{"a", "F32", {2}}}, {{"format", "pt"}});
  const float values[] = {1, 2};
  writer.append(values, sizeof values);
  writer.finish();
  const unsigned char expected[] = {
      0x58, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7b, 0x22, 0x5f, 0x5f, 0x6d, 0x65, 0x74,
      0x61, 0x64, 0x61, 0x74, 0x61, 0x5f, 0x5f, 0x22, 0x3a, 0x7b, 0x22, 0x66, 0x6f, 0x72, 0x6d,
      0x61, 0x74, 0x22, 0x3a, 0x22, 0x70, 0x74, 0x22, 0x7d, 0x2c, 0x22, 0x61, 0x22, 0x3a, 0x7b,
      0x22, 0x64, 0x74, 0x79, 0x70, 0x65, 0x22, 0x3a, 0x22, 0x46, 0x33, 0x32, 0x22, 0x2c, 0x22,
      0x73, 0x68, 0x61, 0x70, 0x65, 0x22, 0x3a, 0x5b, 0x32, 0x5d, 0x2c, 0x22, 0x64, 0x61, 0x74,
      0x61, 0x5f, 0x6f, 0x66, 0x66, 0x73, 0x65, 0x74, 0x73, 0x22, 0x3a, 0x5b, 0x30, 0x2c, 0x38,
      0x5d, 0x7d, 0x7d, 0x20, 0x20, 0x20, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0x40};
  EXPECT_EQ(io.contents("/a"), std::string(reinterpret_cast<const char*>(expected), sizeof expected));
}

TEST(Safetensors, OrdersByAlignmentThenNameAndReadsBack) {
  RecordingIo io;
  SafetensorsWriter writer(
      io, "/a", {{"z", "BF16", {3}}, {"b", "F32", {}}, {"a\"\xc3\xa9", "F32", {100, 300}}, {"c", "I64", {0}}},
      {});
  std::vector<std::string> names;
  std::vector<std::string> contents;
  for (const auto& e : writer.header().entries) {
    names.push_back(e.name);
    contents.emplace_back(static_cast<std::size_t>(e.end - e.begin),
                          static_cast<char>('a' + contents.size()));
    writer.append(contents.back().data(), contents.back().size());
  }
  EXPECT_THAT(names, ::testing::ElementsAre("c", "a\"\xc3\xa9", "b", "z"));
  writer.finish();
  SafetensorsReader reader(io, "/a");
  ASSERT_EQ(reader.header().entries.size(), 4U);
  EXPECT_EQ(reader.header().data_begin % 8, 0);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto* found = reader.find(names[i]);
    ASSERT_NE(found, nullptr);
    std::string bytes(contents[i].size(), '\0');
    reader.read(*found, 0, bytes.data(), bytes.size());
    EXPECT_EQ(bytes, contents[i]);
    EXPECT_THROW(reader.read(*found, 1, bytes.data(), bytes.size() + 1), InternalError);
  }
  EXPECT_EQ(reader.find("nobody"), nullptr);
  io.contents("/a").pop_back();
  char byte = 0;
  EXPECT_THROW(reader.read(*reader.find("z"), 5, &byte, 1), DataError);
}

TEST(Safetensors, AWriterThatGotTooLittleOrImpossibleSpecsThrows) {
  RecordingIo io;
  SafetensorsWriter writer(io, "/a", {{"a", "F32", {2}}}, {});
  EXPECT_THROW(writer.finish(), InternalError);
  EXPECT_THROW(plan_safetensors({{"a", "F32", {2}}, {"a", "U8", {2}}}, {}), InternalError);
  EXPECT_THROW(plan_safetensors({{"a", "F31", {2}}}, {}), InternalError);
  EXPECT_THROW(plan_safetensors({{"a", "F4", {3}}}, {}), InternalError);
  EXPECT_THROW(plan_safetensors({{"__metadata__", "F32", {3}}}, {}), InternalError);
}

TEST(Safetensors, EveryMalformedHeaderIsRefusedByName) {
  const std::string good = "{\"a\":" + entry("F32", "[2]", 0, 8) + "}";
  const std::string data(8, 'x');
  EXPECT_EQ(refusal(file_of(good, data)), "accepted");
  EXPECT_EQ(refusal(file_of(good + "   ", data)), "accepted");
  EXPECT_EQ(refusal(file_of("{}", "")), "accepted");
  EXPECT_EQ(refusal(file_of("{\"__metadata__\":{\"k\":\"v\"},\"a\":" + entry("F4", "[4]", 0, 2) + "}", "xx")),
            "accepted");
  const auto expect = [&](const std::string& header, const std::string& reason) {
    EXPECT_THAT(refusal(file_of(header, data)), HasSubstr(reason)) << header;
  };
  const auto two = [&](const std::string& second) {
    return "{\"a\":" + entry("U8", "[4]", 0, 4) + ",\"b\":" + second + "}";
  };
  EXPECT_EQ(refusal(file_of(two(entry("U8", "[4]", 4, 8)), data)), "accepted");
  expect(two(entry("U8", "[4]", 3, 7)),
         "tensor 'b' must begin at data byte 4, where the one before it ends; got 3 (they overlap)");
  expect(two(entry("U8", "[3]", 5, 8)), "got 5 (a hole)");
  expect(two(entry("U8", "[3]", 4, 7)),
         "the last tensor must end where the file does, at data byte 8; it ends at 7");
  expect(two(entry("U8", "[5]", 4, 9)), "at data byte 8; it ends at 9");
  expect("{\"a\":" + entry("U8", "[4]", 0, 4) + ",\"a\":" + entry("U8", "[4]", 4, 8) + "}",
         "key 'a' appears twice");
  expect("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         "key 'dtype' appears twice");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8],\"x\":1}}", "key 'x' is not one of");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", "without dtype, shape or data_offsets");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0]}}", "1 data_offsets in place of 2");
  expect("{\"a\":{\"dtype\":[8],\"shape\":[8],\"data_offsets\":[0,8]}}", "got a list");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":\"x\",\"data_offsets\":[0,8]}}", "got the text 'x'");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]}}", "got the number 8");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[[8]],\"data_offsets\":[0,8]}}", "got a list");
  expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[{}],\"data_offsets\":[0,8]}}", "got an object");
  expect("{\"a\":" + entry("U8", "[-8]", 0, 8) + "}", "got the number -8");
  expect("{\"a\":" + entry("U8", "[8.0]", 0, 8) + "}", "got the number 8.0");
  expect("{\"a\":" + entry("U8", "[18446744073709551615]", 0, 8) + "}",
         "got the number 18446744073709551615");
  expect("{\"a\":" + entry("U8", "[4294967296,4294967296]", 0, 8) + "}",
         "no whole number of bytes below 2^63");
  expect("{\"a\":" + entry("F4", "[15]", 0, 8) + "}", "no whole number of bytes");
  expect("{\"a\":" + entry("F32", "[3]", 0, 8) + "}", "tensor 'a' of 12 bytes must have as many");
  expect("{\"a\":" + entry("F32", "[2]", 8, 0) + "}", "must have as many");
  expect("{\"a\":" + entry("float", "[2]", 0, 8) + "}", "unknown dtype 'float'");
  expect("{\"a\":null}", "got null");
  expect("{\"a\":true}", "got a truth value");
  expect("{\"a\":1.5}", "got the number 1.5");
  expect("{\"__metadata__\":{\"k\":1}}", "got the number 1");
  expect("{\"__metadata__\":{\"k\":{}}}", "got an object");
  expect("{\"__metadata__\":{},\"__metadata__\":{}}", "key '__metadata__' appears twice");
  expect("[]", "must begin with '{'");
  expect("", "must begin with '{'");
  expect(" " + good, "must begin with '{'");
  expect("\xef\xbb\xbf" + good, "must begin with '{'");
  expect(good.substr(0, good.size() - 1), "not valid JSON");
  expect(good + "{}", "not valid JSON");
  expect("{\"\xff\":" + entry("F32", "[2]", 0, 8) + "}", "not valid JSON");
  expect(good + std::string(1, '\0') + "polyglot", "NUL");
  expect("{\"a\":" + std::string(1000, '[') + "}", "got a list");
  std::string dims = "[1";
  for (int i = 0; i < 40; ++i) dims += ",1";
  expect("{\"a\":" + entry("U8", dims + "]", 0, 8) + "}", "more than 32 numbers");
  EXPECT_THAT(refusal(file_of(good, data + "trailing")),
              HasSubstr("the last tensor must end where the file does"));
}

TEST(Safetensors, LengthsThatDoNotFitTheFileAreRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("at least 8 bytes; got 0"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("at least 8 bytes; got 7"));
  EXPECT_THAT(refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)),
              HasSubstr("ends inside its safetensors header"));
  EXPECT_THAT(refusal(std::string(8, '\xff')),
              HasSubstr("at most 100000000 bytes; got 18446744073709551615"));
  EXPECT_THAT(refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)),
              HasSubstr("at most 100000000 bytes; got 100000001"));
}

/// A disk on which files end at a byte for who reads them, whatever their size.
class CutIo : public FaultingIo {
 public:
  CutIo(Io& inner, std::int64_t end) : FaultingIo(inner), end_(end) {}
  std::size_t read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) override {
    const auto left = static_cast<std::size_t>(std::max<std::int64_t>(0, end_ - offset));
    return FaultingIo::read(file, offset, bytes, std::min(size, left));
  }

 private:
  std::int64_t end_;
};

TEST(Safetensors, AFileThatShrinksWhileItIsReadIsRefused) {
  RecordingIo disk;
  const std::string header = "{\"a\":" + entry("U8", "[8]", 0, 8) + "}";
  write_whole_file(disk, "/a", file_of(header, std::string(8, 'x')));
  CutIo in_header(disk, 20);
  EXPECT_THAT([&] { SafetensorsReader(in_header, "/a"); },
              ThrowsMessage<DataError>(HasSubstr("/a: the file ends inside its safetensors header")));
  CutIo in_data(disk, 8 + static_cast<std::int64_t>(header.size()) + 4);
  SafetensorsReader reader(in_data, "/a");
  char bytes[8];
  EXPECT_THAT([&] { reader.read(*reader.find("a"), 0, bytes, 8); },
              ThrowsMessage<DataError>(HasSubstr("/a: the file became shorter while it was read")));
}

TEST(Safetensors, PiecesOfEverySizeArriveInOrder) {
  RecordingIo io;
  const std::vector<std::size_t> pieces = {40'000, 40'000, 1, 65'536, 200'000, 10, 63'000, 63'000};
  std::string bytes;
  for (const std::size_t piece : pieces)
    bytes += std::string(piece, static_cast<char>('a' + bytes.size() % 23));
  SafetensorsWriter writer(io, "/a", {{"a", "U8", {static_cast<std::int64_t>(bytes.size())}}}, {});
  std::size_t at = 0;
  for (const std::size_t piece : pieces) {
    writer.append(bytes.data() + at, piece);
    at += piece;
  }
  writer.finish();
  SafetensorsReader reader(io, "/a");
  std::string read(bytes.size(), '\0');
  reader.read(*reader.find("a"), 0, read.data(), read.size());
  EXPECT_TRUE(read == bytes);
}

}  // namespace
}  // namespace switchyard::data

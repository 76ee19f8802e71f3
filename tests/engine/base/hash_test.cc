#include "base/hash.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <thread>
#include <vector>

namespace zn {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<std::byte> RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Chunks are named by it, and other tools check it: it must be the standard's.
TEST(Sha256, AgreesWithTheStandardsExamples) {
  EXPECT_EQ(HashSha256({}).Hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashSha256(Bytes("abc")).Hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashSha256(Bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).Hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, IsTheSameInPieces) {
  const std::vector<std::byte> bytes = RandomBytes(10000, 1);
  const auto all = std::span(bytes);
  for (size_t cut : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{5000}, size_t{10000}}) {
    Sha256Hasher hasher;
    hasher.Update(all.first(cut));
    hasher.Update(all.subspan(cut));
    EXPECT_EQ(hasher.Finish(), HashSha256(bytes)) << cut;
  }
}

// Chunks are hashed by all threads of the pool at once.
TEST(Sha256, IsTheSameOnEveryThread) {
  const std::vector<std::byte> bytes = RandomBytes(4096, 2);
  const Sha256 expected = HashSha256(bytes);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += HashSha256(bytes) != expected;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// RFC 3720, B.4, and the check value of the CRC catalogue. Zarr's crc32c codec depends on it.
TEST(Crc32c, AgreesWithTheStandardsExamples) {
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u);
  std::vector<std::byte> bytes(32, std::byte{0});
  EXPECT_EQ(Crc32c(bytes), 0x8a9136aau);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  EXPECT_EQ(Crc32c(bytes), 0x62a8ab43u);
  for (size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(Crc32c(bytes), 0x46dd794eu);
  EXPECT_EQ(Crc32c({}), 0u);
}

// A store written on a machine with the instruction must be readable on one without.
TEST(Crc32c, InstructionAndTableAgree) {
  const std::vector<std::byte> bytes = RandomBytes(3 * 4096 * 2 + 3 * 256 + 100, 3);
  const auto all = std::span(bytes);
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    const size_t begin = random() % 64;
    const size_t size = i < 1200 ? static_cast<size_t>(i) : random() % (bytes.size() - begin);
    const auto seed = static_cast<uint32_t>(random());
    const auto part = all.subspan(begin, size);
    ASSERT_EQ(Crc32c(part, seed), internal::Crc32cByTable(part, seed)) << size;
  }
}

TEST(Crc32c, ContinuesWhereItLeftOff) {
  const std::vector<std::byte> bytes = RandomBytes(30000, 5);
  const auto all = std::span(bytes);
  for (size_t cut : {size_t{0}, size_t{1}, size_t{7}, size_t{12288}, size_t{29999}})
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), Crc32c(all)) << cut;
}

// The key keeps a user from preparing rows that collide.
TEST(HashKeyed, DependsOnBytesAndKey) {
  const std::vector<std::byte> a = RandomBytes(100, 6), b = RandomBytes(100, 7);
  EXPECT_EQ(HashKeyed(a, 1), HashKeyed(a, 1));
  EXPECT_FALSE(HashKeyed(a, 1) == HashKeyed(b, 1));
  EXPECT_FALSE(HashKeyed(a, 1) == HashKeyed(a, 2));
}

}  // namespace
}  // namespace zn

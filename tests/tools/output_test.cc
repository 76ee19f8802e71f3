// Where the bytes of an export come from is its own business: files hold what they were told to.
#include "output.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/formats/support.h"

namespace zn::tools {
namespace {

using formats::testing::ReadText;
using formats::testing::TempFolder;

TEST(OutputDirectory, CopiesFromFilesWhereItCanAndWritesWhereItCannot) {
  TempFolder folder;
  std::string text(100'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  const Descriptor pack(::open(folder.Write("pack", "head" + text).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(pack);
  const Buffer bytes = Buffer::Copy(std::as_bytes(std::span(text)));
  const std::string out = folder.path() + "/out";
  auto directory = OutputDirectory::Open(out, "identity", false);
  ASSERT_TRUE(directory) << directory.error().message;
  const struct {
    const char* name;
    std::optional<FileRange> source;
  } cases[] = {{"a/copied", FileRange{pack.get(), 4}},
               {"a/written", std::nullopt},
               {"cut_short", FileRange{pack.get(), 2000}},  // the file ends before
               {"closed", FileRange{-1, 4}}};
  for (const auto& c : cases) {
    const auto put = (*directory)->Put(c.name, std::span(&bytes, 1), c.source);
    ASSERT_TRUE(put) << c.name << ": " << put.error().message;
    EXPECT_TRUE(*put);
  }
  ASSERT_TRUE((*directory)->Flush());
  for (const auto& c : cases) EXPECT_EQ(ReadText(out + "/" + c.name), text) << c.name;
  EXPECT_FALSE(*(*directory)->Put("a/copied", std::span(&bytes, 1), FileRange{pack.get(), 4}))
      << "it is there already";
}

}  // namespace
}  // namespace zn::tools

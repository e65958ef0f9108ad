// The disk tier in good and in bad weather: after whatever happened a page is right or absent.
#include "quire/tiers/page_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

namespace quire {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kPageBytes = 8192 - 32;
constexpr int64_t kSlotBytes = 8192;

PageKey Key(int number) { return ChildKey(RootKey("test"), std::vector<Token>{number}); }

std::vector<std::byte> Page(int number, size_t bytes = kPageBytes) {
  std::mt19937 random(number);
  std::vector<std::byte> page(bytes);
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  return page;
}

class PageStoreTest : public testing::Test {
 protected:
  PageStoreTest() {
    std::string folder = (fs::temp_directory_path() / "quire-pages-XXXXXX").string();
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    options_.folder = top_ = folder;
    options_.quota_bytes = 64 * kSlotBytes;
    options_.page_bytes = kPageBytes;
    options_.format = "test";
    options_.probe = false;
    options_.log = [this](std::string_view line) { log_.emplace_back(line); };
  }
  ~PageStoreTest() override {
    store_.reset();
    fs::remove_all(top_);
  }

  // A new process, as far as the disk can tell.
  void Open() {
    store_.reset();
    auto store = PageStore::Open(options_, clock_);
    ASSERT_TRUE(store.has_value()) << store.error().message;
    store_ = std::move(*store);
  }
  PageTier::Completion Wait() {
    std::vector<PageTier::Completion> completed;
    for (int i = 0; i < 100'000 && completed.empty(); ++i) {
      store_->TakeCompleted(completed);
      if (completed.empty()) usleep(100);
    }
    EXPECT_EQ(completed.size(), 1);
    return completed.at(0);
  }
  bool Start(int number, std::span<const std::byte> page) {
    return store_->Wants(Key(number), Moment::kPublished) &&
           store_->StartWrite(Key(number), Moment::kPublished, page, 0, number);
  }
  TierUsage Usage() const {
    std::vector<TierUsage> places;
    store_->AddUsage(places);
    return places.at(0);
  }
  bool Write(int number) {
    const std::vector<std::byte> page = Page(number);
    if (!Start(number, page)) return false;
    const PageTier::Completion completion = Wait();
    EXPECT_EQ(completion.tag, number);
    return completion.ok;
  }
  // Whether the page is there; then it must be right.
  bool Read(int number) {
    std::vector<std::byte> page(kPageBytes);
    if (!store_->StartRead(Key(number), page, 7)) return false;
    if (!Wait().ok) return false;
    EXPECT_EQ(page, Page(number)) << number;
    return true;
  }
  int CountRead(int numbers) {
    int found = 0;
    for (int i = 0; i < numbers; ++i) found += Read(i);
    return found;
  }
  void WriteAll(int numbers) {
    for (int i = 0; i < numbers; ++i) ASSERT_TRUE(Write(i));
  }
  void Overwrite(const char* file, int64_t at, std::string_view bytes) {
    std::fstream stream(options_.folder / file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at);
    stream << bytes;
    ASSERT_TRUE(stream.flush());
  }

  fs::path top_;
  PageStoreOptions options_;
  ManualClock clock_;
  std::vector<std::string> log_;
  std::unique_ptr<PageStore> store_;
};

TEST_F(PageStoreTest, GivesBackWhatItTook) {
  for (const char* secret : {"", "0123456789abcdef0123456789abcdef"}) {
    options_.secret = secret;
    Open();
    EXPECT_FALSE(store_->Contains(Key(1)));
    EXPECT_FALSE(Read(1));
    WriteAll(10);
    EXPECT_TRUE(store_->Contains(Key(1)));
    EXPECT_FALSE(Start(1, Page(1))) << "it is there already";
    EXPECT_EQ(CountRead(10), 10);
    EXPECT_EQ(Usage().pages, 10);
    EXPECT_EQ(Usage().bytes, 10 * kSlotBytes);
    Open();
    EXPECT_EQ(CountRead(10), 10);
    EXPECT_TRUE(log_.empty());
    options_.folder /= "encrypted";
  }
}

TEST_F(PageStoreTest, ManyMovesAtOnce) {
  Open();
  std::vector<std::vector<std::byte>> pages;
  for (int i = 0; i < 60; ++i) pages.push_back(Page(i));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Start(i, pages[i]));
  std::vector<PageTier::Completion> completed;
  while (completed.size() < 60) store_->TakeCompleted(completed);
  std::vector<std::vector<std::byte>> read(60, std::vector<std::byte>(kPageBytes));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(store_->StartRead(Key(i), read[i], i));
  completed.clear();
  while (completed.size() < 60) store_->TakeCompleted(completed);
  EXPECT_EQ(read, pages);
}

TEST_F(PageStoreTest, TheDiskIsMeasured) {
  options_.probe = true;
  Open();
  EXPECT_GT(Usage().read_time.Seconds(1 << 20), 0);
  EXPECT_FALSE(fs::exists(options_.folder / "probe"));
}

TEST_F(PageStoreTest, NeighboursAreMovedTogether) {
  for (const char* secret : {"", "0123456789abcdef0123456789abcdef"}) {
    options_.secret = secret;
    options_.format += "x";
    options_.threads = 1;
    Open();
    std::vector<std::vector<std::byte>> pages, read(64, std::vector<std::byte>(kPageBytes));
    for (int i = 0; i < 64; ++i) pages.push_back(Page(i));
    for (int i = 0; i < 64; ++i) ASSERT_TRUE(Start(i, pages[i]));
    std::vector<PageTier::Completion> completed;
    while (completed.size() < 64) store_->TakeCompleted(completed);
    Overwrite("pages.slab", 20 * kSlotBytes + 77, "?");  // its neighbours are right all the same
    for (int i = 0; i < 64; ++i) ASSERT_TRUE(store_->StartRead(Key(i), read[i], i));
    completed.clear();
    while (completed.size() < 64) store_->TakeCompleted(completed);
    for (const auto& completion : completed) EXPECT_EQ(completion.ok, completion.tag != 20);
    for (int i = 0; i < 64; ++i) EXPECT_TRUE(i == 20 || read[i] == pages[i]);
    EXPECT_EQ(Usage().pages, 63);
    EXPECT_EQ(store_->counts().bad_pages, 1);
  }
}

// What was written together stays together, also in the room that others left.
TEST_F(PageStoreTest, APageGoesBehindTheOneBeforeIt) {
  options_.quota_bytes = 8 * kSlotBytes;
  Open();
  WriteAll(8);
  for (int i = 8; i < 12; ++i) EXPECT_TRUE(Write(i));
  store_.reset();
  std::ifstream file(options_.folder / "pages.slab", std::ios::binary);
  for (int i = 0; i < 4; ++i) {
    std::vector<std::byte> slot(kSlotBytes);
    file.read(reinterpret_cast<char*>(slot.data()), kSlotBytes);
    slot.resize(kPageBytes);
    EXPECT_EQ(slot, Page(8 + i)) << i;
  }
}

TEST_F(PageStoreTest, PageByPageEveryMoveIsOverWhenItHasStarted) {
  options_.page_by_page = true;
  Open();
  const std::vector<std::byte> page = Page(1);
  std::vector<PageTier::Completion> completed;
  for (int time = 0; time < 2; ++time) {  // it is written again
    ASSERT_TRUE(Start(1, page));
    store_->TakeCompleted(completed);
    EXPECT_EQ(completed.size(), static_cast<size_t>(time + 1));
  }
  EXPECT_EQ(Usage().bytes_moved, 2 * static_cast<int64_t>(kPageBytes));
  EXPECT_EQ(Usage().pages, 1);
  EXPECT_TRUE(Read(1));
}

TEST_F(PageStoreTest, NoMoreMovesThanItsDepth) {
  options_.depth = 2;
  Open();
  const std::vector<std::byte> page = Page(1);
  EXPECT_TRUE(Start(1, page));
  EXPECT_TRUE(Start(2, page));
  EXPECT_FALSE(Start(3, page));
  std::vector<PageTier::Completion> completed;
  while (completed.size() < 2) store_->TakeCompleted(completed);
  EXPECT_TRUE(Start(3, page));
  store_.reset();  // what was started is finished
  Open();
  EXPECT_TRUE(store_->Contains(Key(3)));
}

TEST_F(PageStoreTest, TheLeastRecentlyUsedLeave) {
  options_.quota_bytes = 4 * kSlotBytes + 100;
  Open();
  WriteAll(4);
  EXPECT_TRUE(Read(0));
  EXPECT_TRUE(Write(4));
  EXPECT_FALSE(store_->Contains(Key(1)));
  Open();  // the order of uses survives
  EXPECT_TRUE(Write(5));
  EXPECT_FALSE(store_->Contains(Key(2)));
  EXPECT_TRUE(Read(0));
  EXPECT_TRUE(Read(3));
  EXPECT_EQ(store_->counts().evicted, 1);
  EXPECT_LE(fs::file_size(options_.folder / "pages.slab"), options_.quota_bytes);
  options_.quota_bytes = 2 * kSlotBytes;
  Open();
  EXPECT_LE(Usage().pages, 2);
  EXPECT_LE(fs::file_size(options_.folder / "pages.slab"), options_.quota_bytes);
  EXPECT_EQ(CountRead(6), Usage().pages);
}

TEST_F(PageStoreTest, WhatIsTouchedCountsAsUsed) {
  options_.quota_bytes = 4 * kSlotBytes;
  Open();
  WriteAll(4);
  store_->Touch(Key(0));
  store_->Touch(Key(9));  // it is not there
  ASSERT_TRUE(Write(4));
  EXPECT_TRUE(store_->Contains(Key(0)));
  EXPECT_FALSE(store_->Contains(Key(1)));
  store_->Touch(Key(2));
  Open();
  EXPECT_TRUE(Read(0));
  ASSERT_TRUE(Write(5));
  EXPECT_FALSE(store_->Contains(Key(3)));
  EXPECT_TRUE(store_->Contains(Key(2))) << "also for the next process";
}

TEST_F(PageStoreTest, AnotherFormatStartsEmpty) {
  Open();
  WriteAll(3);
  options_.format = "other";
  Open();
  EXPECT_EQ(Usage().pages, 0);
  EXPECT_EQ(Usage().pages_failed, 3);
  EXPECT_THAT(log_, ElementsAre(HasSubstr("of another model, type or encryption, and are dropped")));
  EXPECT_EQ(CountRead(3), 0);
  options_.page_bytes = 100;
  Open();
  EXPECT_EQ(Usage().pages, 0);
}

TEST_F(PageStoreTest, TheWrongSecretOpensNothing) {
  options_.secret = std::string(32, 'a');
  Open();
  WriteAll(3);
  options_.secret = std::string(32, 'b');
  Open();
  EXPECT_EQ(CountRead(3), 0);
  EXPECT_EQ(store_->counts().bad_pages, 3);
  EXPECT_THAT(log_, ElementsAre(HasSubstr("not what was written")));
}

TEST_F(PageStoreTest, ASecretHidesThePages) {
  options_.secret = std::string(32, 'a');
  Open();
  const std::vector<std::byte> page(kPageBytes, std::byte{'Q'});
  ASSERT_TRUE(Start(1, page));
  EXPECT_TRUE(Wait().ok);
  store_.reset();
  std::ifstream file(options_.folder / "pages.slab", std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(bytes.find("QQQQ"), bytes.npos);
}

TEST_F(PageStoreTest, ACorruptPageIsAbsent) {
  for (const char* secret : {"", "0123456789abcdef0123456789abcdef"}) {
    options_.secret = secret;
    options_.format += "x";
    Open();
    log_.clear();
    WriteAll(4);
    Overwrite("pages.slab", kSlotBytes + 1234, "?");                    // of a page
    Overwrite("pages.slab", 2 * kSlotBytes + kSlotBytes - 32, "????");  // of a trailer
    EXPECT_EQ(CountRead(4), 2);
    EXPECT_EQ(store_->counts().bad_pages, 2);
    EXPECT_EQ(log_.size(), 1) << "told once";
    EXPECT_FALSE(store_->Contains(Key(1)));
    EXPECT_TRUE(Write(1));
    EXPECT_TRUE(Read(1));
  }
}

TEST_F(PageStoreTest, APageInAnothersPlaceIsAbsent) {
  Open();
  WriteAll(2);
  std::string first(kSlotBytes, 0);
  std::ifstream(options_.folder / "pages.slab", std::ios::binary).read(first.data(), kSlotBytes);
  Overwrite("pages.slab", kSlotBytes, first);
  EXPECT_TRUE(Read(0));
  EXPECT_FALSE(Read(1));
}

TEST_F(PageStoreTest, ACutFileLosesWhatWasThere) {
  Open();
  WriteAll(8);
  store_.reset();
  fs::resize_file(options_.folder / "pages.slab", 3 * kSlotBytes + 100);
  Open();
  EXPECT_EQ(CountRead(8), 3);
  EXPECT_TRUE(Write(5));
  EXPECT_TRUE(Read(5));
  fs::resize_file(options_.folder / "pages.slab", 0);  // while it runs
  EXPECT_EQ(CountRead(8), 0);
}

TEST_F(PageStoreTest, ADamagedIndexStartsEmpty) {
  for (const int64_t cut : {int64_t{-1}, int64_t{5}, int64_t{4096}, int64_t{9000}}) {
    Open();
    for (int i = 0; i < 8; ++i) Write(i);
    store_.reset();
    if (cut < 0) {
      Overwrite("catalog.mdb", 0, std::string(8192, '?'));
    } else {
      fs::resize_file(options_.folder / "catalog.mdb", cut);
    }
    Open();
    EXPECT_EQ(CountRead(8), 0);
    EXPECT_TRUE(Write(3));
    EXPECT_TRUE(Read(3));
  }
  EXPECT_FALSE(log_.empty());
}

TEST_F(PageStoreTest, OneProcessAFolder) {
  Open();
  const auto second = PageStore::Open(options_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST_F(PageStoreTest, WhatCannotWorkIsRefused) {
  options_.quota_bytes = 100;
  EXPECT_EQ(PageStore::Open(options_).error().code, ErrorCode::kInvalidArgument);
  options_.quota_bytes = 64 * kSlotBytes;
  options_.secret = "short";
  EXPECT_EQ(PageStore::Open(options_).error().code, ErrorCode::kInvalidArgument);
  options_.secret = "";
  std::ofstream(options_.folder / "file") << "x";
  options_.folder /= "file";
  EXPECT_EQ(PageStore::Open(options_).error().code, ErrorCode::kIo);
  options_.folder = options_.folder.parent_path();
}

// A file that may not grow stands for a full disk.
TEST_F(PageStoreTest, AFullDiskIsTriedAgainAfterAWhile) {
  Open();
  ASSERT_TRUE(Write(0));
  fs::resize_file(options_.folder / "pages.slab", kSlotBytes);
  options_.quota_bytes = 65 * kSlotBytes;
  Open();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{kSlotBytes, before.rlim_max};
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_FALSE(Write(1));
  EXPECT_FALSE(Start(2, Page(2))) << "it is not tried at once";
  EXPECT_TRUE(Read(0)) << "what is there can be read";
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old);
  EXPECT_EQ(store_->counts().write_errors, 1);
  EXPECT_EQ(log_.size(), 1);
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_TRUE(Write(1));
  EXPECT_TRUE(Read(1));
}

TEST_F(PageStoreTest, AFolderThatGoesAwayHarmsNobody) {
  Open();
  WriteAll(3);
  fs::remove_all(options_.folder);
  EXPECT_EQ(CountRead(3), 3);
  EXPECT_TRUE(Write(3));
  store_.reset();
  Open();
  EXPECT_EQ(Usage().pages, 0);
}

// Writes, evicts and reads as fast as it can, until it is killed; says into `busy` when it has begun.
[[noreturn]] void Churn(PageStoreOptions options, int seed, int busy) {
  auto store = PageStore::Open(std::move(options));
  if (!store) _exit(1);
  std::mt19937 random(seed);
  std::vector<std::vector<std::byte>> pages(200);
  for (int i = 0; i < 200; ++i) pages[i] = Page(i);
  std::vector<std::byte> to(kPageBytes);
  std::vector<PageTier::Completion> completed;
  bool reading = false;
  for (int ended = 0;;) {
    const int number = static_cast<int>(random() % 200);
    if (!(*store)->Contains(Key(number))) {
      if ((*store)->Wants(Key(number), Moment::kPublished)) {
        (*store)->StartWrite(Key(number), Moment::kPublished, pages[number], 0, 1);
      }
    } else if (!reading) {
      reading = (*store)->StartRead(Key(number), to, 2);
    }
    completed.clear();
    (*store)->TakeCompleted(completed);
    for (const auto& completion : completed) {
      if (completion.tag == 2) reading = false;
      if (!completion.ok) _exit(2);
      if (++ended == 20 && write(busy, "!", 1) != 1) _exit(3);
    }
  }
}

TEST_F(PageStoreTest, KilledAtAnyMoment) {
  std::mt19937 random(5);
  int found = 0;
  for (int life = 0; life < 40; ++life) {
    int busy[2];
    ASSERT_EQ(pipe(busy), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) Churn(options_, life, busy[1]);
    close(busy[1]);
    char begun;
    if (life % 4 != 0) {
      ASSERT_EQ(read(busy[0], &begun, 1), 1);
    }
    usleep(random() % 20'000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    close(busy[0]);
    ASSERT_TRUE(WIFSIGNALED(status)) << "ended with " << WEXITSTATUS(status);
    Open();
    found += CountRead(200);  // checks the bytes of all that are there
    store_.reset();
  }
  EXPECT_GT(found, 400) << "too little was written to test anything";
}

}  // namespace
}  // namespace quire

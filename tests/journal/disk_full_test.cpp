// The journal on a full disk: a tmpfs of 256 MB, so this test needs root (as scripts/test and CI have).
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/rocksdb_store.h"
#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;
namespace fs = std::filesystem;

namespace {

struct SmallDisk {
  SmallDisk() {
    std::string name = (fs::temp_directory_path() / "vmproxy-small-disk-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) FAIL("cannot make a directory");
    path = name;
    if (::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=256m") != 0) {
      FAIL("cannot mount a tmpfs (this test needs root): " << std::strerror(errno));
    }
  }
  ~SmallDisk() {
    ::umount2(path.c_str(), MNT_DETACH);
    fs::remove(path);
  }
  // Takes all space that is left.
  void fill() {
    std::ofstream ballast(path + "/ballast", std::ios::binary | std::ios::app);
    const std::string block(64 << 10, 'x');
    while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void free() { fs::remove(path + "/ballast"); }
  std::string path;
};

}  // namespace

TEST_CASE(
    "a full disk fails appends with words, loses nothing acknowledged, and recording goes on once there is "
    "space") {
  SmallDisk disk;
  SystemClock clock;
  Metrics metrics;
  auto store = store::open_rocksdb(disk.path + "/journal");
  REQUIRE(store);
  auto opened = Journal::open(**store, clock, metrics, {.reopen_every = Duration::zero()});
  REQUIRE(opened);
  auto journal = std::move(*opened);

  std::vector<Seq> acknowledged;
  for (int cycle = 0; cycle < 10; ++cycle) {
    INFO("cycle " << cycle);
    for (int i = 0; i < 20; ++i) {
      auto seq = append_and_wait(*journal, intent_of("k"), body_of(std::string(8000, 'x')));
      REQUIRE(seq);
      acknowledged.push_back(*seq);
    }
    disk.fill();
    std::optional<Error> error;
    for (int i = 0; i < 5000 && !error; ++i) {
      if (i % 500 == 499) disk.fill();  // what the store has deleted behind our back meanwhile
      auto seq = append_and_wait(*journal, intent_of("k"), body_of(std::string(8000, 'x')));
      if (seq)
        acknowledged.push_back(*seq);
      else
        error = seq.error();
    }
    REQUIRE(error);
    CHECK(error->code == Code::io);
    CHECK(error->message.find("disk is full") != std::string::npos);
    CHECK(error->message.find("Free space") != std::string::npos);
    // The gap is durable although nothing can be written to the log any more.
    REQUIRE(journal->mark_gap("the disk was full"));
    CHECK_FALSE(journal->reopen());
    CHECK(journal->body(acknowledged.back()));  // reading goes on for the mirror

    disk.free();
    const auto freed = std::chrono::steady_clock::now();
    auto reopened = journal->reopen();
    REQUIRE(reopened);
    CHECK(std::chrono::steady_clock::now() - freed < std::chrono::seconds(5));
    CHECK(journal->gaps().value().size() == 1);
    journal->trim_below(journal->next() > 400 ? journal->next() - 400 : 1);
  }

  journal.reset();
  store->reset();
  store = store::open_rocksdb(disk.path + "/journal");
  REQUIRE(store);
  opened = Journal::open(**store, clock, metrics, {});
  REQUIRE(opened);
  const Seq trimmed = (*opened)->stats().trimmed_below;
  for (const Seq seq : acknowledged) {
    if (seq < trimmed) continue;
    INFO("seq " << seq);
    REQUIRE((*opened)->head(seq));
    REQUIRE((*opened)->body(seq));
  }
  CHECK((*opened)->gaps().value().size() == 1);
  CHECK((*opened)->verify().value().problems.empty());
}

TEST_CASE("opening on a full disk is an error that names the directory") {
  SmallDisk disk;
  disk.fill();
  auto store = store::open_rocksdb(disk.path + "/journal");
  REQUIRE_FALSE(store);
  CHECK(store.error().code == Code::io);
  CHECK(store.error().message.find(disk.path) != std::string::npos);
}

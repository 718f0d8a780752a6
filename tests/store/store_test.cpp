// What every Store promises, checked on both.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "store/crc32c.h"
#include "store/memory_store.h"
#include "store/rocksdb_store.h"
#include "store/slot_file.h"
#include "tests/store/print_result.h"

using namespace vmproxy;
using namespace vmproxy::store;
namespace fs = std::filesystem;

namespace {

struct Directory {
  Directory() {
    std::string name = (fs::temp_directory_path() / "vmproxy-store-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) FAIL("cannot make a directory");
    path = name;
  }
  ~Directory() { fs::remove_all(path); }
  std::string path;
};

std::string all_of(Store& store, std::string_view from, std::string_view to) {
  std::string text;
  auto scanned = store.scan(from, to, [&](auto key, auto value) {
    text.append(key).append("=").append(value).append(" ");
    return true;
  });
  if (!scanned) FAIL(scanned.error().message);
  return text;
}

void check_promises(Store& store) {
  Batch batch;
  batch.put("a", "1");
  batch.put("b", "2");
  batch.put("c", "3");
  batch.put("d", std::string(5000, 'x'));
  batch.erase("b");
  batch.put("b", "again");
  REQUIRE(store.commit(batch, Sync::yes));
  CHECK(store.get("a").value() == "1");
  CHECK(store.get("b").value() == "again");
  CHECK(store.get("d").value()->size() == 5000);
  CHECK_FALSE(store.get("e").value());
  CHECK(all_of(store, "a", "d") == "a=1 b=again c=3 ");
  CHECK(all_of(store, "b", "c") == "b=again ");
  CHECK(all_of(store, "x", "y").empty());
  auto many = store.get_many({"c", "nothing", "a"});
  REQUIRE(many);
  CHECK(*many == std::vector<std::optional<std::string>>{"3", std::nullopt, "1"});

  int visited = 0;
  REQUIRE(store.scan("a", "z", [&](auto, auto) { return ++visited < 2; }));
  CHECK(visited == 2);

  Batch erasing;
  erasing.put("bb", "inside, before");
  erasing.erase_range("b", "d");
  erasing.put("c", "inside, after");
  REQUIRE(store.commit(erasing, Sync::no));
  CHECK(all_of(store, "a", "d") == "a=1 c=inside, after ");
  REQUIRE(store.reclaim("a", "b"));
  CHECK(store.get("c").value() == "inside, after");

  // Whatever order is good for the store inside: for one key, and around a range, it is the caller's.
  Batch mixed;
  mixed.put("p9", "first");
  mixed.put("p1", "goes");
  mixed.erase_range("p1", "p2");
  mixed.put("p9", "second");
  mixed.put("p5", "kept");
  mixed.erase("p9");
  mixed.put("p1", "back");
  mixed.put("p9", "last");
  mixed.erase("p5");
  REQUIRE(store.commit(mixed, Sync::yes));
  CHECK(all_of(store, "p", "q") == "p1=back p9=last ");

  CHECK(store.read_slot().value().empty());
  REQUIRE(store.write_slot("gap"));
  CHECK(store.read_slot().value() == "gap");
  REQUIRE(store.write_slot(std::string(Store::slot_bytes_max, 'g')));
  CHECK(store.read_slot().value().size() == Store::slot_bytes_max);
  CHECK_FALSE(store.write_slot(std::string(5000, 'g')));
  REQUIRE(store.write_slot(""));

  REQUIRE(store.reopen());
  CHECK(store.get("c").value() == "inside, after");
  CHECK(store.bytes_on_disk().value() > 0);
  CHECK_FALSE(store.boot_id().empty());
}

}  // namespace

TEST_CASE("the store in memory keeps a store's promises") {
  check_promises(*make_memory_store());
}

TEST_CASE("the store on RocksDB keeps a store's promises") {
  Directory at;
  auto store = open_rocksdb(at.path);
  REQUIRE(store);
  check_promises(**store);
  store->reset();
  store = open_rocksdb(at.path);
  REQUIRE(store);
  CHECK((*store)->get("a").value() == "1");
  CHECK((*store)->read_slot().value().empty());
}

TEST_CASE("a scan shows one moment although commits go on") {
  Directory at;
  auto store = open_rocksdb(at.path);
  REQUIRE(store);
  for (int i = 0; i < 100; ++i) {
    Batch batch;
    batch.put("k" + std::to_string(100 + i), "before");
    REQUIRE((*store)->commit(batch, Sync::no));
  }
  int seen = 0;
  REQUIRE((*store)->scan("k", "l", [&](auto, auto value) {
    if (seen++ == 0) {
      Batch batch;
      for (int i = 0; i < 200; ++i) batch.put("k" + std::to_string(100 + i), "after");
      (*store)->commit(batch, Sync::no).value();
    }
    CHECK(value == "before");
    return true;
  }));
  CHECK(seen == 100);
}

TEST_CASE("the memory store loses what was not synced, and only that") {
  auto store = make_memory_store();
  Batch one, two, three;
  one.put("a", "1");
  two.put("b", "2");
  three.put("c", "3");
  REQUIRE(store->commit(one, Sync::no));
  REQUIRE(store->commit(two, Sync::yes));
  REQUIRE(store->commit(three, Sync::no));
  const auto boot = store->boot_id();
  store->lose_unsynced();
  CHECK(all_of(*store, "a", "z") == "a=1 b=2 ");
  CHECK(store->boot_id() != boot);
}

namespace {

using Found = SlotFile::Found;

// What open() makes of a file.
struct Opened {
  Found found;
  std::string value;
  bool operator==(const Opened&) const = default;
};
Opened opened(const std::string& path, bool fresh = false,
              SlotFile::Writes writes = SlotFile::Writes::both_halves) {
  SlotFile slot(writes);
  if (auto made = slot.open(path, fresh); !made) FAIL(made.error().message);
  return {slot.found(), slot.value()};
}

void write_slots(const std::string& path, const std::vector<std::string>& values,
                 SlotFile::Writes writes = SlotFile::Writes::both_halves) {
  SlotFile slot(writes);
  if (auto made = slot.open(path, !fs::exists(path)); !made) FAIL(made.error().message);
  for (const auto& value : values) {
    if (auto written = slot.write(value); !written) FAIL(written.error().message);
  }
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// One bit of the first byte of the value in this half.
void flip(const std::string& path, size_t half) {
  std::string bytes = bytes_of(path);
  bytes.at(half * 4096 + 20) ^= 1;
  put_bytes(path, bytes);
}

}  // namespace

TEST_CASE("a slot is whole as long as one of its halves is, and made whole when it is opened") {
  Directory at;
  const std::string path = at.path + "/slot";
  write_slots(path, {"one", "two"});
  CHECK(opened(path) == Opened{Found::whole, "two"});
  const std::string whole = bytes_of(path);
  for (const size_t half : {size_t{0}, size_t{1}}) {
    INFO("half " << half);
    put_bytes(path, whole);
    flip(path, half);
    CHECK(opened(path) == Opened{Found::whole, "two"});
    flip(path, 1 - half);  // the damaged one is a copy of the other again
    CHECK(opened(path) == Opened{Found::whole, "two"});
  }
  put_bytes(path, whole.substr(0, 5000));
  CHECK(opened(path) == Opened{Found::whole, "two"});
  CHECK(bytes_of(path).size() == 8192);
}

TEST_CASE(
    "a write that a crash tore, wherever it was, leaves the value before or the new one, and no doubt") {
  Directory at;
  const std::string path = at.path + "/slot";
  write_slots(path, {"one"});
  const std::string before = bytes_of(path);
  write_slots(path, {"two"});
  const std::string after = bytes_of(path);
  for (const size_t half : {size_t{0}, size_t{1}}) {
    // This half is torn, the other is as before the write or after it.
    for (const std::string* other : {&before, &after}) {
      std::string torn = *other;
      torn.replace(half * 4096, 21, after, half * 4096, 21);
      torn.at(half * 4096 + 24) ^= 1;
      put_bytes(path, torn);
      CHECK(opened(path) == Opened{Found::whole, other == &before ? "one" : "two"});
    }
  }
}

TEST_CASE("a slot that is missing, short or damaged in both halves is told, until it is written again") {
  Directory at;
  const std::string path = at.path + "/slot";
  CHECK(opened(path, true) == Opened{Found::whole, ""});  // made now
  write_slots(path, {"one"});
  const std::string whole = bytes_of(path);
  SECTION("missing") {
    fs::remove(path);
  }
  SECTION("empty") {
    put_bytes(path, "");
  }
  SECTION("short") {
    put_bytes(path, whole.substr(0, 100));
  }
  SECTION("damaged") {
    flip(path, 0);
    flip(path, 1);
  }
  CHECK(opened(path) == Opened{Found::nothing, ""});
  CHECK(opened(path) == Opened{Found::nothing, ""});  // looking at it does not settle it
  {
    SlotFile slot(SlotFile::Writes::both_halves);
    REQUIRE(slot.open(path, false));
    REQUIRE(slot.write("two"));
    CHECK(slot.found() == Found::whole);
  }
  CHECK(opened(path) == Opened{Found::whole, "two"});
  CHECK(bytes_of(path).size() == 8192);
}

TEST_CASE(
    "a slot of an older version, written in turn, is read, and told where its newer half may be the damaged one") {
  Directory at;
  const std::string path = at.path + "/slot";
  constexpr auto in_turn = SlotFile::Writes::in_turn;
  SECTION("never written") {
    write_slots(path, {}, in_turn);
    CHECK(opened(path) == Opened{Found::whole, ""});
  }
  SECTION("written once") {
    write_slots(path, {"one"}, in_turn);
    CHECK(opened(path) == Opened{Found::whole, "one"});
  }
  SECTION("written twice") {
    write_slots(path, {"one", "two"}, in_turn);
    CHECK(opened(path) == Opened{Found::whole, "two"});
    CHECK(opened(path) == Opened{Found::whole, "two"});
  }
  SECTION("damaged") {
    write_slots(path, {"one", "two"}, in_turn);
    const size_t newer = bytes_of(path).find("two") / 4096;
    flip(path, newer);
    CHECK(opened(path) == Opened{Found::older_perhaps, "one"});
    CHECK(opened(path) == Opened{Found::older_perhaps, "one"});
    CHECK(opened(path, false, in_turn) == Opened{Found::older_perhaps, "one"});
  }
}

TEST_CASE(
    "what open found missing beside the store on RocksDB is a doubt until the slot is written, but for a new store") {
  Directory at;
  auto store = open_rocksdb(at.path);
  REQUIRE(store);
  CHECK_FALSE((*store)->doubt());
  store->reset();
  fs::remove(at.path + "/slot");  // nothing was committed yet
  store = open_rocksdb(at.path);
  REQUIRE(store);
  CHECK_FALSE((*store)->doubt());
  Batch batch;
  batch.put("a", "1");
  REQUIRE((*store)->commit(batch, Sync::yes));
  store->reset();
  fs::remove(at.path + "/slot");
  for (int start = 0; start < 2; ++start) {
    store = open_rocksdb(at.path);
    REQUIRE(store);
    CHECK((*store)->doubt());
    // Who does not get the directory leaves its files alone.
    CHECK_FALSE(open_rocksdb(at.path));
    if (start == 1) REQUIRE((*store)->write_slot(""));
    store->reset();
  }
  store = open_rocksdb(at.path);
  REQUIRE(store);
  CHECK_FALSE((*store)->doubt());
}

TEST_CASE("who does not get a directory that is in use changes no byte of it") {
  Directory at;
  auto store = open_rocksdb(at.path);
  REQUIRE(store);
  Batch batch;
  batch.put("a", "1");
  REQUIRE((*store)->commit(batch, Sync::yes));
  REQUIRE((*store)->write_slot("gap"));
  const auto bytes_of = [&](const char* file) {
    std::ifstream in(at.path + file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const auto refused = [&] {
    const auto second = open_rocksdb(at.path);
    return !second && second.error().code == Code::precondition;
  };
  SECTION("both files are there") {
    const std::string slot = bytes_of("/slot"), synced = bytes_of("/synced");
    REQUIRE_FALSE(slot.empty());
    CHECK(refused());
    CHECK(bytes_of("/slot") == slot);
    CHECK(bytes_of("/synced") == synced);
  }
  SECTION("a half of the slot is damaged, which whoever opens it makes whole") {
    {
      std::fstream bytes(at.path + "/slot", std::ios::in | std::ios::out | std::ios::binary);
      bytes.seekp(21).put('\x7f');
    }
    const std::string slot = bytes_of("/slot");
    CHECK(refused());
    CHECK(bytes_of("/slot") == slot);
  }
  SECTION("they are missing, and whoever opens it makes them") {
    fs::remove(at.path + "/slot");
    fs::remove(at.path + "/synced");
    CHECK(refused());
    CHECK_FALSE(fs::exists(at.path + "/slot"));
    CHECK_FALSE(fs::exists(at.path + "/synced"));
  }
  CHECK((*store)->get("a").value() == "1");
}

TEST_CASE("CRC32C has the published values, and instruction and table agree") {
  CHECK(crc32c_extend(0, "123456789") == 0xe3069283);
  CHECK(crc32c_extend(0, std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c_extend(0, std::string(32, '\xff')) == 0x62a8ab43);
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    CHECK(crc32c_extend(7, bytes) == crc32c_extend_by_table(7, bytes));
    const auto half = static_cast<size_t>(length / 2);
    CHECK(crc32c_extend(crc32c_extend(0, bytes.substr(0, half)), bytes.substr(half)) ==
          crc32c_extend(0, bytes));
    bytes += static_cast<char>(length * 37);
  }
}

// FakeDriver: a database in memory that does on command what real ones do by accident: executes a write long
// after its answer was lost, answers from a stale snapshot, applies half a batch, refuses single records, shows
// a key twice in a scan, hangs until released, comes and goes. Thread-safe. The script may be changed at any time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "model/write.h"
#include "protocols/api/driver.h"

namespace vmproxy::support {

inline model::Key key_of(const std::string& id) {
  return {"", {id}};
}
// A small record; its version is what tests look at.
model::Record record_of(const std::string& id, int64_t version);
int64_t version_of(const model::Record& record);
// The application's write of whole records of version 1.
model::Write put_of(const std::string& collection, const std::vector<std::string>& ids);

enum class Call { read, upsert, insert_only, erase, query, scan, plan, create, alter, drop, index, describe };

class FakeDriver : public protocols::Driver {
 public:
  using Rows = std::map<std::string, int64_t>;  // id -> version

  FakeDriver();

  // --- beside the API: what the application (or chance) did to the database
  void add_collection(model::Schema schema);
  void put(const std::string& id, int64_t version);
  void put(const std::string& collection, const std::string& id, int64_t version);
  void remove(const std::string& id);
  void remove(const std::string& collection, const std::string& id);
  // Another form of one that is there: it keeps its id and its rows.
  void change(model::Schema schema);
  // Dropped and created again under its name: empty, another native id.
  void recreate(const std::string& collection);
  void drop_collection(const std::string& collection);
  // The collection answers to this name as well, and no other does.
  void name_also(const std::string& collection, const std::string& name);
  Rows rows(const std::string& collection = "things") const;
  std::optional<int64_t> find(const std::string& id) const;
  bool has_collection(const std::string& collection) const;
  // From now on each change is in this file when its call returns, also when the process is killed right then. What the file
  // holds by now is what the database holds. False: there was none.
  bool keep_at(const std::string& path);
  // What this database holds and cannot show as a collection.
  void leave_out(std::vector<protocols::LeftOut> tables);

  // --- the script
  std::function<std::string()> token;  // session()
  std::string session(const model::Schema&, std::span<const model::Key>) const override {
    return token ? token() : "";
  }
  model::Capabilities caps;  // change before anybody asks
  // An upsert that names a partition which the collection does not have is refused: not_found.
  std::atomic<bool> knows_partitions{false};
  // The next `times` calls of this kind fail without having been executed.
  void fail(Call call, Error error, int times = 1);
  // ... after `calls` of them that are executed.
  void fail_after(int calls, Call call, Error error);
  // Every call fails so until it is taken back.
  void down(std::optional<Error> error);
  // Every write fails so until it is taken back; reads go on.
  void writes_fail(std::optional<Error> error);
  // Each record of a write or a read takes so long, of which pass() is told before it is looked at; a call that would last beyond
  // its deadline ends there, and nothing is done.
  void slow(Duration each, std::function<void(Duration)> pass);
  // Every second write fails, refused before it is done.
  void flap(bool flaps);
  // The next write of this kind loses its answer and is not executed yet: it is when land() is called.
  void delay_next(Call call);
  void land();  // executes what was delayed, in order
  size_t delayed() const;
  // The next create is executed, and its answer lost.
  void lose_answer_of_create();
  // The same of the next alter.
  void lose_answer_of_alter();
  // Calls of this kind wait, before they look or change anything, until release().
  void hold(Call call);
  void release();
  size_t held() const;  // how many wait now
  // Reads and queries answer from the rows as they are now, until thaw().
  void freeze();
  void thaw();
  // The same from what it held when that was taken.
  struct State;
  std::shared_ptr<const State> state() const;
  void freeze_at(std::shared_ptr<const State> state);
  // A write of this id is refused for good; the rest of its batch is applied, but for replace_all and insert_all.
  void refuse(const std::string& id, std::optional<Error> error);
  // A whole batch with this id in it is refused for good.
  void refuse_batches_with(const std::string& id);
  void take_batches();  // from now on, whatever is in them
  // This id cannot be read until that is taken back; the others of its batch can.
  void hide(const std::string& id, std::optional<Error> error);
  // The next batch is applied up to `records`, then the connection breaks.
  void break_next_batch_after(size_t records);
  // This row comes in every scan as well, on the first page.
  void show_also(const std::string& id, int64_t version);
  // A range of a plan is so many bytes longer than it need be.
  std::atomic<size_t> range_padding{0};
  // Runs after a read or scan took its rows, before they are returned; not under the lock.
  std::function<void()> after_read, after_scan;
  // Runs before a query looks, a drop is done; an error is its answer. Not under the lock.
  std::function<std::optional<Error>(Deadline)> before_query, before_drop;
  // Runs before an upsert is looked at; not under the lock.
  std::function<void()> before_upsert;

  // --- what was asked
  uint64_t calls(Call call) const;
  uint64_t writes() const;  // upserts, insert_onlys and erases, executed or not
  // ids of each batch of upserts or erases as it came, oldest first
  struct Sent {
    Call call;
    std::string collection;
    std::vector<std::pair<std::string, int64_t>> rows;  // version 0: erase
    TimePoint at;
  };
  std::vector<Sent> sent() const;
  void stamp_with(const Clock& clock) { clock_ = &clock; }

  // --- Driver
  std::string_view system() const override { return "fake"; }
  const model::Capabilities& capabilities() const override { return caps; }
  Result<protocols::ServerInfo> describe_server(Deadline) override;
  Result<std::vector<protocols::Space>> list_spaces(Deadline) override;
  Result<std::vector<model::Schema>> list_collections(Deadline) override;
  Result<protocols::Holdings> list_all(Deadline) override;
  Result<std::optional<model::Schema>> describe(const model::CollectionName& name, Deadline) override;
  model::CollectionName name_for(const model::CollectionName& name) const override { return name; }
  Result<void> create(const model::Schema& schema, Deadline) override;
  Result<void> alter(const model::CollectionName& now, const model::Schema& wanted, Deadline) override;
  Result<void> drop(const model::CollectionName& name, Deadline) override;
  Result<void> build_indexes(const model::Schema& schema, Deadline) override;
  Result<std::vector<model::Record>> read(const model::Schema& schema, std::span<const model::Key> keys,
                                          protocols::ReadParts parts, Deadline) override;
  Result<protocols::ReadResult> read_each(const model::Schema& schema, std::span<const model::Key> keys,
                                          protocols::ReadParts parts, Deadline) override;
  Result<protocols::ApplyResult> upsert(const model::Schema& schema, std::span<const model::Record> records,
                                        protocols::UpsertMode mode, Deadline) override;
  Result<protocols::ApplyResult> erase(const model::Schema& schema, std::span<const model::Key> keys,
                                       Deadline) override;
  Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query, Deadline) override;
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                                      Deadline) override;
  Result<protocols::ScanPage> scan(const model::Schema& schema, const protocols::ScanRange& range,
                                   const std::string& cursor, size_t records_max, protocols::ReadParts parts,
                                   Deadline) override;

 private:
  struct Collection {
    model::Schema schema;
    std::map<model::Key, model::Record> rows;
  };
  using Lock = std::unique_lock<std::mutex>;
  // Counts, waits while held, and says whether the call fails.
  std::optional<Error> ask(Lock& lock, Call call);
  std::optional<Error> take_time(size_t records, Deadline deadline);  // lock not held
  // What reads see.
  const std::map<std::string, Collection>& shown() const;
  static Error no_collection(const std::string& name);
  // A batch of writes: `execute` changes one row of it. Lock held.
  Result<protocols::ApplyResult> write(Call call, const std::string& collection,
                                       const std::vector<std::string>& ids,
                                       const std::function<void(Collection&, size_t)>& execute,
                                       bool all = false);
  // Lock held; nothing without a file.
  void keep() const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Collection> collections_;
  std::vector<protocols::LeftOut> left_out_;
  std::shared_ptr<const State> frozen_;
  uint64_t lives_ = 0;
  std::string kept_at_;
  std::map<Call, uint64_t> calls_;
  std::map<Call, std::deque<std::optional<Error>>> failures_;  // nothing: executed
  std::optional<Error> down_, writes_fail_;
  std::set<Call> delays_, holds_;
  bool lose_create_ = false, lose_alter_ = false;
  std::vector<std::function<void()>> delayed_;
  size_t held_ = 0;
  bool flaps_ = false;
  uint64_t flapped_ = 0;
  std::map<std::string, Error> refused_, hidden_;
  std::set<std::string> poison_;
  std::optional<size_t> break_after_;
  std::vector<model::Record> also_;
  std::vector<Sent> sent_;
  const Clock* clock_ = nullptr;
  Duration each_{};
  std::function<void(Duration)> pass_;
};

}  // namespace vmproxy::support

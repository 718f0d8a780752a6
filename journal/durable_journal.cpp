#include "journal/durable_journal.h"

#include "base/fault.h"

#include <future>

namespace vmproxy::journal {

Result<std::unique_ptr<Journal>> Journal::open(store::Store& store, Clock& clock, Metrics& metrics,
                                               Options options) {
  auto journal = std::make_unique<DurableJournal>(store, clock, metrics, options);
  if (auto started = journal->start(); !started) return started.error();
  return std::unique_ptr<Journal>(std::move(journal));
}

DurableJournal::DurableJournal(store::Store& store, Clock& clock, Metrics& metrics, Options options)
    : store_(store),
      clock_(clock),
      options_(options),
      sync_seconds_(
          metrics.histogram("journal_sync_seconds", "Time to commit a group of the journal and sync it")),
      bytes_(metrics.gauge("journal_bytes", "Bytes of the journal on disk", options.labels)) {}

// Without close() this is what a crash leaves: nothing more is committed.
DurableJournal::~DurableJournal() {
  {
    Lock hold(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  if (committer_.joinable()) committer_.join();
}

Result<void> DurableJournal::start() {
  auto recovered = recover();
  if (!recovered) return recovered.error();
  next_ = recovered->next;
  next_marked_ = recovered->next;
  acknowledged_ = recovered->next - 1;
  trimmed_ = trim_wanted_ = reclaimed_ = recovered->trimmed;
  bodies_dropped_ = bodies_wanted_ = std::max(recovered->bodies_dropped, recovered->trimmed);
  gap_number_ = recovered->gap_number;
  if (auto loaded = load_gaps(); !loaded) return loaded;

  std::vector<Gap> found;
  clean_start_ = recovered->fresh || (recovered->boot && recovered->boot->clean);
  if (!clean_start_ && recovered->boot && recovered->boot->durability == Durability::os &&
      (recovered->boot->boot_id.empty() || recovered->boot->boot_id != store_.boot_id())) {
    found.push_back(
        new_gap("the machine restarted without a clean stop of vmproxy while journal.durability was 'os': "
                "the last writes may not have been recorded"));
  }
  if (auto doubt = store_.doubt()) found.push_back(new_gap(std::move(*doubt)));
  if (recovered->in_doubt) found.push_back(new_gap(std::move(*recovered->in_doubt)));
  if (auto written = write_boot_mark(found, false, recovered->lost_holes); !written) return written;
  trimmed_at_ = house_kept_at_ = clock_.now();
  if (auto bytes = store_.bytes_on_disk()) bytes_.set(static_cast<double>(*bytes));
  committer_ = std::thread([this] { run(); });
  return {};
}

Result<void> DurableJournal::close() {
  settle();
  {
    Lock hold(mutex_);
    if (closed_) return {};
    closed_ = true;
    stopping_ = true;
    work_.notify_all();
  }
  if (committer_.joinable()) committer_.join();
  if (failure_) return failure_->within("journal: not closed cleanly");
  VMPROXY_FAULT("journal.closing");
  std::vector<Gap> owed;
  {
    Lock hold(mutex_);
    add_owed(owed);
  }
  auto marked = write_boot_mark(owed, true);
  VMPROXY_FAULT("journal.closed");
  return marked;
}

// ---------------------------------------------------------------------------------------------- filling
// groups

Group& DurableJournal::group() {
  const bool first_taken = pending_.size() == 1 && front_busy_;
  if (pending_.empty() || first_taken || pending_.back().bytes >= group_bytes_max) {
    pending_.emplace_back();
    pending_.back().number = ++group_last_;
  }
  return pending_.back();
}

void DurableJournal::wake(bool urgent) {
  if (waiting_ == Waiting::for_any || (urgent && waiting_ == Waiting::for_urgent)) {
    waiting_ = Waiting::no;
    work_.notify_one();
  }
}

std::optional<Error> DurableJournal::refusal(uint64_t bytes) const {
  if (stopping_) return Error(Code::precondition, "journal: it is closed");
  if (failure_) return failure_;
  if (pending_bytes_ + bytes > options_.pending_bytes_max) {
    return Error(Code::overloaded, "journal: " + std::to_string(pending_bytes_ >> 20) +
                                       " MiB wait for the disk, which is the bound; nothing was recorded");
  }
  return std::nullopt;
}

void DurableJournal::refuse(std::function<void()> call) {
  refused_.push_back(std::move(call));
  wake(true);
}

void DurableJournal::append(IntentHead head, IntentBody body, std::function<void(Result<Seq>)> done) {
  SealedValue head_value = encode_head(head);
  std::optional<SealedValue> body_value;
  if (!body.empty()) body_value = encode_body(body);
  const uint64_t bytes = head_value.size() + (body_value ? body_value->size() : 0) + 18;

  Lock hold(mutex_);
  if (auto error = refusal(bytes)) {
    if (closed_) {
      hold.unlock();
      done(*error);
    } else {
      refuse([done = std::move(done), error = *error] { done(error); });
    }
    return;
  }
  const Seq seq = next_.load(std::memory_order_relaxed);
  next_.store(seq + 1);
  std::string head_key = seq_key(Kind::intent, seq);
  std::string sealed_head = std::move(head_value).finish(head_key);
  Group& to = group();
  const size_t first = to.batch.size();
  to.put(std::move(head_key), std::move(sealed_head));
  if (body_value) {
    std::string body_key = seq_key(Kind::body, seq);
    std::string sealed_body = std::move(*body_value).finish(body_key);
    to.put(std::move(body_key), std::move(sealed_body));
  }
  to.complete({seq, std::move(done), nullptr, first, to.batch.size()});
  to.sync = to.urgent = true;
  pending_bytes_ += bytes;
  wake(true);
}

void DurableJournal::outcome(Seq seq, OutcomeRecord outcome, Done durable) {
  SealedValue value = encode_outcome(outcome);
  std::string key = seq_key(Kind::outcome, seq);
  std::string sealed = std::move(value).finish(key);
  const uint64_t bytes = key.size() + sealed.size();

  Lock hold(mutex_);
  if (auto error = durable ? refusal(bytes) : std::nullopt) {
    refuse([durable = std::exchange(durable, nullptr), error = *error] { durable(error); });
  }
  if (stopping_ || (failure_ && pending_bytes_ + bytes > options_.pending_bytes_max))
    return;  // the intent stays without an outcome, which is read as uncertain
  Group& to = group();
  to.put_visible(std::move(key), std::move(sealed));
  pending_bytes_ += bytes;
  if (durable) {
    // None of the operations: a failure keeps the outcome with the lazy ones.
    to.complete({0, nullptr, std::move(durable), to.batch.size(), to.batch.size()});
    to.sync = to.urgent = true;
  }
  wake(to.urgent);
}

void DurableJournal::put_row(Group& to, Row row) {
  std::string key = row_key(row.table, row.key);
  const uint64_t before = to.bytes;
  if (row.value) {
    std::string sealed = encode_bytes(*row.value).finish(key);
    to.put_visible(std::move(key), std::move(sealed));
  } else {
    to.erase_visible(std::move(key));
  }
  pending_bytes_ += to.bytes - before;
}

void DurableJournal::put_rows(std::vector<Row> rows, Done durable) {
  Lock hold(mutex_);
  if (durable) {
    put_durable(std::move(rows), false, std::move(durable));
    return;
  }
  if (stopping_) return;
  if (failure_ && pending_bytes_ > options_.pending_bytes_max) {
    rows_lost_ = true;  // reopen() makes a gap of it
    return;
  }
  Group& to = group();
  for (auto& row : rows) put_row(to, std::move(row));
  wake(false);
}

// mutex_ held. Rows may be none: then `done` tells that everything put before is durable.
void DurableJournal::put_durable(std::vector<Row> rows, bool force_sync, Done done) {
  if (auto error = refusal(0)) {
    refuse([done = std::move(done), error = *error] { done(error); });
    return;
  }
  Group& to = group();
  const size_t first = to.batch.size();
  for (auto& row : rows) put_row(to, std::move(row));
  to.complete({0, nullptr, std::move(done), first, to.batch.size()});
  to.sync = to.urgent = true;
  to.force_sync |= force_sync;
  wake(true);
}

Result<void> DurableJournal::wait_for(const std::function<void(Done)>& start) {
  if (on_committer()) {
    return Error(Code::internal,
                 "journal: a blocking call from one of its own callbacks would wait for itself");
  }
  {
    Lock hold(mutex_);
    if (closed_) return Error(Code::precondition, "journal: it is closed");
  }
  auto promise = std::make_shared<std::promise<Result<void>>>();
  auto future = promise->get_future();
  start([promise](Result<void> result) { promise->set_value(std::move(result)); });
  return future.get();
}

Result<void> DurableJournal::commit_rows(std::vector<Row> rows) {
  return wait_for([&](Done done) {
    Lock hold(mutex_);
    put_durable(std::move(rows), true, std::move(done));
  });
}

void DurableJournal::trim_below(Seq seq) {
  Lock hold(mutex_);
  const bool known = trim_owed() > 0;  // then the committer looks in time, and a wake-up would be for nothing
  trim_wanted_ = std::max(trim_wanted_, std::min(seq, acknowledged_ + 1));
  if (!known && trim_owed() > 0) wake(false);
}

void DurableJournal::drop_bodies_below(Seq seq) {
  Lock hold(mutex_);
  const bool known = trim_owed() > 0;
  bodies_wanted_ = std::max(bodies_wanted_, std::min(seq, next_.load()));
  if (!known && trim_owed() > 0) wake(false);
}

}  // namespace vmproxy::journal

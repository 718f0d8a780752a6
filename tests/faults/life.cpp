#include "tests/faults/life.h"

#include "proxy/images.h"
#include "proxy/target_backend.h"
#include "store/rocksdb_store.h"

namespace vmproxy::support {
namespace {

constexpr int ids_of_application = 12;
constexpr int64_t ids_of_history = 30;

template <class Thrown = std::runtime_error, class T>
T must(Result<T> result, const std::string& what) {
  if (!result) throw Thrown(what + ": " + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

Life::Life(std::filesystem::path where)
    : directory(std::move(where)), truth((directory / "history").string()) {
  const bool known = source.keep_at((directory / "source").string());
  target.keep_at((directory / "target").string());
  // Records that arrive after the rows of another life were written are later, whatever its clock said.
  clock.advance(std::chrono::hours(truth.last() + 1));
  if (!known) {
    source.add_collection(things());
    for (int64_t i = 0; i < ids_of_history; ++i) {
      const std::string id = "h" + std::to_string(i);
      const int64_t number = truth.begin({{id, i + 1}});
      source.put(id, i + 1);
      truth.ack(number);
    }
  }
  source.caps.max_exec = target.caps.max_exec = seconds(1);
  source.caps.max_zombie = target.caps.max_zombie = seconds(1);
  options.name = "life";
  options.source_label = "old (fake)";
  options.target_label = "new (fake)";
  options.source_place = {"fake", "source"};
  options.target_place = {"fake", "target"};
  options.included = [](const model::CollectionName&) { return true; };
  options.mirror.lanes.lanes = 2;
  options.proxy.mirror_drops = true;
  options.settle = milliseconds(100);
  options.fence_max = seconds(60);
  options.pre_drain_max = seconds(120);
  options.lag_max = seconds(60);
  options.backfill.batch = 5;
  options.backfill.parallel = 2;
  options.pool_threads = 4;
  ticker_ = std::thread([this] {
    while (!ends_) {
      clock.advance(milliseconds(4));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
}

Life::~Life() {
  try {
    if (migration) close();
  } catch (const std::exception&) {
  }
  ends_ = true;
  ticker_.join();
}

void Life::open() {
  store = must<DiskError>(store::open_rocksdb((directory / "journal").string()), "the store");
  journal = must<DiskError>(journal::Journal::open(*store, clock, metrics, journal_options), "the journal");
  migration = std::make_unique<cutover::Migration>(*journal, source, target, &dialect, upstream, clock,
                                                   random, metrics, options);
  must<DiskError>(migration->open(), "the migration");
  pipeline = std::make_unique<proxy::Pipeline>(migration->context(), "test");
  stopping_ = false;
  at_rest_ = false;
  // The source lets the application in, and says so.
  if (!target_is_primary()) send({"POST", "/read", {}, proxy::encode_images({{key_of("h0"), std::nullopt}})});
  application_ = std::thread([this] { write_forever(); });
  go_on();
  was_opened = true;
}

void Life::close() {
  stopping_ = true;
  if (application_.joinable()) application_.join();
  migration->close();
  pipeline.reset();
  migration.reset();
  must<DiskError>(journal->close(), "closing the journal");
  journal.reset();
  store.reset();
}

void Life::wait(Duration time) {
  const TimePoint end = clock.in(time);
  while (clock.now() < end) std::this_thread::sleep_for(milliseconds(1));
}

// --- the operator

void Life::until(const std::string& what, const std::function<bool()>& reached,
                 const std::function<Result<void>()>& order) {
  std::string last = "no error";
  for (int attempt = 0; attempt < 60; ++attempt) {
    if (is_broken_) throw std::runtime_error("the application: " + broken_);
    if (reached()) return;
    if (auto done = order(); !done) last = done.error().message;
    for (int i = 0; i < 20 && !reached(); ++i) wait(milliseconds(50));
    if (reached()) return;
    if (attempt % 3 == 2) validate();
  }
  throw std::runtime_error(what + " is never reached: " + last + "; " + status().verdict);
}

void Life::validate() {
  cutover::ValidateOptions all;
  all.repair = true;
  const auto ended = [&] {
    for (int i = 0; i < 600 && status().validation.phase == "running"; ++i) wait(milliseconds(50));
  };
  ended();                                    // what was asked for before a kill
  if (!migration->validate(all, {})) return;  // not in this state; whoever waits tries again
  ended();
}

void Life::ready() {
  const auto there = [this] {
    const std::string state = status().state;
    return state == "ready" || state == "canary" || state == "reads_moved" || target_is_primary();
  };
  until("ready", there, [this] { return migration->start("ready", {}); });
}

void Life::percent(double percent) {
  until(
      "so many reads", [&] { return target_is_primary() || status().reads_percent == percent; },
      [&] { return migration->cutover(percent, {}); });
}

// This application reads once, when nothing is on the target: nobody has seen whether that can answer it.
void Life::promote() {
  until(
      "the promotion", [this] { return target_is_primary(); },
      [this] { return migration->promote({"test", "", {"reads"}}); });
}

void Life::roll_back() {
  until(
      "the rollback", [this] { return !target_is_primary(); },
      [this] { return migration->rollback({"test", "", {"ddl"}}); });
}

void Life::no_gap() {
  validate();
  until(
      "no gap", [&] { return status().gaps == 0; },
      [&] {
        validate();
        return Result<void>();
      });
}

// --- the application

void Life::drop_things(const std::function<void()>& how) {
  std::map<std::string, int64_t> gone;
  for (const auto& id : truth.ids()) gone[id] = 0;
  const int64_t number = truth.begin(gone);
  until(
      "the drop", [&] { return !source.has_collection("things"); },
      [&] {
        how();
        return Result<void>();
      });
  truth.ack(number);
}

void Life::make_things() {
  until(
      "the new one", [&] { return source.has_collection("things") && knows("things"); },
      [&] {
        (void)send({"POST", "/create", {}, ""});
        return Result<void>();
      });
}

void Life::writes(int64_t count) {
  const int64_t goal = acked_ + count;
  const auto give_up = std::chrono::steady_clock::now() + seconds(60);
  while (acked_ < goal) {
    if (is_broken_) throw std::runtime_error("the application: " + broken_);
    if (std::chrono::steady_clock::now() > give_up)
      throw std::runtime_error("the application gets no answers: " + status().verdict);
    std::this_thread::sleep_for(milliseconds(1));
  }
}

void Life::rest() {
  resting_ = true;
  while (!at_rest_ && !is_broken_) std::this_thread::sleep_for(milliseconds(1));
}

void Life::go_on() {
  resting_ = false;
  at_rest_ = false;
}

void Life::write_forever() {
  try {
    while (!stopping_) {
      at_rest_ = resting_.load();
      if (!at_rest_) write_once();
      std::this_thread::sleep_for(milliseconds(1));
    }
  } catch (const std::exception& error) {
    broken_ = error.what();
    is_broken_ = true;
  }
  at_rest_ = true;
}

void Life::write_once() {
  const int64_t number = truth.last() + 1;
  const std::string id = "a" + std::to_string(number % ids_of_application);
  if (number % 41 == 0) {
    erase_below(number - 2 * ids_of_application);
  } else if (number % 7 == 0) {
    put("/put", id, 0);
  } else {
    put(number % 5 == 0 ? "/merge" : "/put", id, number);
  }
}

// Value 0: an erase.
void Life::put(const std::string& path, const std::string& id, int64_t value) {
  journal::Image image{key_of(id), std::nullopt};
  if (value != 0) image.record = record_of(id, value);
  const int64_t number = truth.begin({{id, value}});
  if (send({"POST", path, {}, proxy::encode_images({image})}) != 200) return;
  truth.ack(number);
  ++acked_;
}

// Only where all is certain: what else it hits nobody could say.
void Life::erase_below(int64_t version) {
  std::map<std::string, int64_t> gone;
  for (const auto& id : truth.ids()) {
    const auto values = truth.legal(id);
    if (values.size() > 1) version = 0;
    if (*values.begin() != 0 && *values.begin() <= version) gone[id] = 0;
  }
  if (version <= 0 || gone.empty()) return put("/put", "a0", truth.last() + 1);
  const int64_t number = truth.begin(gone);
  if (send({"POST", "/delete_where", {}, std::to_string(version)}) != 200) return;
  truth.ack(number);
  ++acked_;
}

int Life::send(const net::Request& request) {
  FakeExchange exchange(io_, request, clock.in(seconds(120)),
                        [this](const net::Request& sent) { return asked(sent); });
  bool ended = false;
  std::exception_ptr thrown;
  asio::co_spawn(io_, pipeline->handle(exchange), [&](std::exception_ptr error) {
    thrown = error;
    ended = true;
  });
  while (!ended) io_.run_one_for(milliseconds(1));
  if (thrown) std::rethrow_exception(thrown);
  return exchange.answer ? exchange.answer->status : 0;
}

// What the source does with a request that reaches it.
Result<net::Response> Life::asked(const net::Request& request) {
  if (request.path() == "/create") {
    if (!source.has_collection("things")) source.add_collection(things());
    return net::Response{200, {}, "made", {}};
  }
  if (request.path() == "/drop") {
    source.drop_collection("things");
    return net::Response{200, {}, "dropped", {}};
  }
  if (request.path() == "/delete_where") {
    const int64_t version = std::stoll(request.body);
    for (const auto& [id, value] : source.rows()) {
      if (value <= version) source.remove(id);
    }
    return net::Response{200, {}, "done", {}};
  }
  auto images = proxy::decode_images(request.body);
  if (!images) return net::Response{404, {}, "no such call", {}};
  for (const auto& image : *images) {
    if (request.path() == "/read") break;
    const std::string id = model::to_string(image.key.id);
    if (!source.has_collection("things")) return net::Response{404, {}, "no such collection", {}};
    if (image.record) {
      source.put(id, version_of(*image.record));
    } else {
      source.remove(id);
    }
  }
  if (request.path() != "/read" && loses_answer_.exchange(false))
    return Error(Code::connection_lost, "the answer was lost");
  return net::Response{200, {}, "done", {}};
}

Result<model::Schema> Life::change(const model::SchemaChange& change) {
  auto& context = migration->context();
  proxy::TargetBackend backend(context, context.routing.get(), "test", clock.in(seconds(30)));
  return backend.change(change);
}

void Life::compare(const std::vector<std::string>& collections) {
  rest();
  const auto quiet = [this] {
    const auto now = status();
    return now.lag_changes == 0 && now.dirty == 0 && !migration->context().renames.any_open();
  };
  for (int i = 0; i < 2000 && !quiet(); ++i) wait(milliseconds(50));
  if (!quiet()) throw std::runtime_error("what is owed does not arrive: " + status().verdict);
  for (const auto& name : collections) {
    const auto collection = migration->context().collections.find(name);
    if (!collection) throw std::runtime_error("there is no '" + name + "' any more");
    if (source.rows(name) != target.rows(model::to_string(collection->plan->target().name)))
      throw std::runtime_error("the sides differ in '" + name + "'\n" + truth.against(source.rows()) +
                               "---\n" + truth.against(target.rows()));
  }
  if (const std::string wrong = truth.against(source.rows()); !wrong.empty()) throw std::runtime_error(wrong);
  go_on();
}

}  // namespace vmproxy::support

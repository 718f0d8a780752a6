#include "tests/sim/requests.h"

#include <algorithm>
#include <future>

#include "proxy/images.h"
#include "proxy/target_backend.h"
#include "tests/support/rig.h"

namespace vmproxy::sim {

using journal::IntentClass;
using model::Outcome;
using proxy::Side;

namespace {

constexpr Duration patience = std::chrono::seconds(10);
const model::CollectionName things{"", "things"};

// Of a request that is sent once, to one database.
Answer::Did did(const Result<void>& done) {
  if (done) return Answer::Did::yes;
  return done.error().surely_not_done() ? Answer::Did::no : Answer::Did::unknown;
}
Outcome outcome_of(Answer::Did did) {
  return did == Answer::Did::yes  ? Outcome::applied
         : did == Answer::Did::no ? Outcome::rejected
                                  : Outcome::uncertain;
}

void end(const Result<void>& done, Answer& answer) {
  answer.did = did(done);
  if (!done) answer.error = done.error().message;
}

// A write as the application asked for it.
struct Request {
  IntentClass cls = IntentClass::image;
  std::string operation;
  std::vector<model::Key> keys;
  std::string target, body;
  std::optional<model::Filter> filter;
  std::function<Result<void>()> at_source;
  model::Write at_target;
  bool drops = false, creates = false;  // the collection
};

struct Captured {
  proxy::Ticket ticket;
  bool in_doubt = false, unseen = false;
  std::vector<std::shared_ptr<const proxy::Collection>> before;
  std::optional<proxy::SourceDrops::Call> dropping;
};

class UncapturedWrite {
 public:
  explicit UncapturedWrite(std::atomic<uint64_t>& count) : count_(count) { ++count_; }
  UncapturedWrite(const UncapturedWrite&) = delete;
  ~UncapturedWrite() { --count_; }

 private:
  std::atomic<uint64_t>& count_;
};

void enter(proxy::Gate& gate) {
  std::promise<void> inside;
  gate.enter([&inside] { inside.set_value(); });
  inside.get_future().wait();
}

void enter_gate(World& world, proxy::Context& context) {
  if (const Duration pace = context.gate.pace(); pace > Duration::zero())
    world.run.sleep_until(world.run.now() + std::chrono::nanoseconds(pace).count());
  enter(context.gate);
}

// What a write by filter will hit; false: nobody knows.
bool enumerate(proxy::Context& context, const Request& request, proxy::Ticket& ticket) {
  const auto collection = context.collections.find("things");
  if (!collection) return false;
  model::Query query;
  query.kind = model::Query::Kind::get;
  query.collection = things;
  query.filter = request.filter;
  query.with_document = query.with_metadata = false;
  auto found = context.transfer.query(Side::source, *collection, query, context.clock.in(patience / 2));
  if (!found) return false;
  std::vector<model::Key> keys;
  for (auto& record : found->records) keys.push_back(std::move(record.key));
  context.mirror.add_keys(ticket, std::move(keys));
  return true;
}

Result<void> ask_source(proxy::Context& context) {
  return context.collections.refresh(context.clock.in(std::chrono::seconds(5)),
                                     [&context](const model::Schema& schema) {
                                       return context.mirror.paused(model::to_string(schema.name));
                                     });
}

void gap(proxy::Context& context, const std::string& what) {
  context.journal.mark_gap(what, [](Result<void>) {});
}

// What is there already was not made by the call that would make it.
void look_before(proxy::Context& context, Captured& captured) {
  if (context.collections.find("things")) return;
  auto there =
      context.transfer.driver(Side::source).describe(things, context.clock.in(std::chrono::seconds(2)));
  if (there && !*there) return;
  captured.unseen = !there || !ask_source(context);
}

Captured begin(proxy::Context& context, const proxy::Routing& routing, const Request& request) {
  Captured captured;
  std::optional<proxy::InFlight::Passing> passing(std::in_place, context.mirror.passing());
  if (context.collections.should_ask()) (void)ask_source(context);
  captured.in_doubt = context.collections.in_doubt();
  if (request.cls == IntentClass::ddl) {
    if (request.creates) look_before(context, captured);
    captured.before = context.collections.all();
    passing.reset();
    captured.ticket = context.mirror.begin_broad(routing, request.operation, things, request.cls);
    context.mirror.pause("things");
    if (request.drops) captured.dropping = context.source_drops.begin(things);
    return captured;
  }
  if (!context.collections.find("things")) (void)ask_source(context);
  if (!context.collections.find("things")) {
    // A name that the dialect does not know: nobody can say what the write will hit.
    captured.ticket = context.mirror.begin_keyed(routing, request.operation, {}, {}, IntentClass::opaque);
    return captured;
  }
  if (request.cls != IntentClass::predicate) {
    captured.ticket =
        context.mirror.begin_keyed(routing, request.operation, things, request.keys, request.cls);
    return captured;
  }
  captured.ticket = context.mirror.begin_broad(routing, request.operation, things, request.cls);
  if (!enumerate(context, request, captured.ticket)) captured.ticket.cls = IntentClass::opaque;
  return captured;
}

// The collection stays paused until the source was asked what exists now.
void after_change(proxy::Context& context, const Request& request, Captured& captured, Outcome outcome) {
  bool followed = false;
  if (captured.unseen) gap(context, "collection 'things' may have been made beside the proxy before");
  const auto settle = [&]() -> Result<void> {
    const auto before = context.collections.all();
    const auto find = [](const auto& all, const proxy::Collection& wanted) {
      return std::any_of(all.begin(), all.end(), [&](const auto& c) {
        return c->key == wanted.key && c->plan->source().incarnation == wanted.plan->source().incarnation;
      });
    };
    auto refreshed = context.collections.refresh(
        context.clock.in(std::chrono::seconds(10)),
        [&](const model::Schema& appeared) { return appeared.name == things && request.creates; });
    if (!refreshed) return refreshed;
    const Deadline deadline = context.clock.in(std::chrono::seconds(2));
    for (const auto& old : before) {
      if (find(context.collections.all(), *old)) continue;
      context.mirror.forget(old->key);
      const bool reborn = context.collections.find(old->key) != nullptr;
      if (reborn && request.drops && context.options.mirror_drops) {
        auto dropped = context.transfer.driver(Side::target).drop(old->plan->target().name, deadline);
        if (!dropped && dropped.error().code != Code::not_found) {
          gap(context, "'things' was dropped and the target still holds it: " + dropped.error().message);
        } else {
          (void)context.collections.release(*old);
        }
      } else if (reborn) {
        gap(context, "'things' was dropped and created again; the target holds records of its former life");
      }
    }
    if (request.drops) {
      auto gone = context.source_drops.follow(things, deadline);
      const bool late = !gone && captured.dropping &&
                        (gone.error().code == Code::timeout || gone.error().code == Code::cancelled);
      if (!gone && !late) gap(context, gone.error().message);
      followed = static_cast<bool>(gone);
    }
    for (const auto& c : context.collections.all()) {
      if (find(before, *c)) continue;
      auto created = context.collections.create_on_target(*c, deadline);
      if (!created && created.error().code == Code::precondition) gap(context, created.error().message);
    }
    return {};
  };
  if (!settle()) {
    context.collections.doubt(Duration::zero());
    gap(context, "what exists after a change of 'things' could not be asked");
  }
  if (captured.dropping && outcome == Outcome::applied) {
    if (followed) {
      captured.dropping->settled();
    } else {
      captured.dropping->executed();
    }
  }
  captured.dropping.reset();
}

Result<void> mark_gap(proxy::Context& context, const std::string& what) {
  std::promise<Result<void>> marked;
  context.journal.mark_gap(what, [&marked](Result<void> done) { marked.set_value(std::move(done)); });
  return marked.get_future().get();
}

// Durable before a byte goes out; else a gap is, and it goes on.
Result<void> make_durable(proxy::Context& context, const Request& request, Captured& captured) {
  proxy::Ticket& ticket = captured.ticket;
  if (captured.in_doubt) {
    ticket.unjournaled = std::make_shared<proxy::Unjournaled>(context.mirror, ticket.primary);
    auto marked = mark_gap(context, "writes by names that may have been given to other collections");
    if (!marked) return marked;
  }
  std::promise<Result<journal::Seq>> written;
  journal::IntentBody body;
  if (request.cls != IntentClass::read_back) body = {"POST", request.target, {}, request.body};
  context.mirror.journal(ticket, std::move(body),
                         [&written](Result<journal::Seq> seq) { written.set_value(std::move(seq)); });
  auto seq = written.get_future().get();
  if (seq) {
    ticket.seq = *seq;
    return {};
  }
  if (!ticket.unjournaled)
    ticket.unjournaled = std::make_shared<proxy::Unjournaled>(context.mirror, ticket.primary);
  return mark_gap(context, "writes passed while the journal could not be written: " + seq.error().message);
}

void capture(proxy::Context& context, const proxy::Routing& routing, const Request& request, Answer& answer) {
  auto captured = begin(context, routing, request);
  if (captured.ticket.cls == IntentClass::opaque)
    captured.ticket.unfollowed = std::make_shared<proxy::Unfollowed>(context.mirror);
  const bool changes = request.cls == IntentClass::ddl;
  if (auto durable = make_durable(context, request, captured); !durable) {
    context.mirror.drop(std::move(captured.ticket));
    if (captured.dropping) captured.dropping->settled();
    if (changes) context.mirror.resume("things");
    answer.did = Answer::Did::no;
    answer.error = durable.error().message;
    return;
  }
  const Result<void> done = context.routing.get()->epoch == routing.epoch
                                ? request.at_source()
                                : Error(Code::cancelled, "not sent: the primary has changed");
  end(done, answer);
  journal::OutcomeRecord outcome;
  outcome.whole = outcome_of(answer.did);
  const bool rejected = outcome.whole == Outcome::rejected;
  if (changes && !rejected) after_change(context, request, captured, outcome.whole);
  if (captured.dropping && rejected) captured.dropping->settled();
  context.mirror.finish(std::move(captured.ticket), std::move(outcome));
  if (changes) context.mirror.resume("things");
}

void serve(World& world, Process& process, const Request& request, Answer& answer) {
  auto& context = process.migration->context();
  if (!context.routing.get()->capture && context.routing.get()->primary == Side::source) {
    const UncapturedWrite counted(context.uncaptured_writes);
    const auto routing = context.routing.get();
    if (!routing->capture && routing->primary == Side::source) {
      answer.epoch = routing->epoch;
      end(request.at_source(), answer);
      return;
    }
  }
  enter_gate(world, context);
  proxy::Gate::Inside inside(context.gate);
  const auto routing = context.routing.get();
  answer.epoch = routing->epoch;
  if (routing->primary == Side::source) {
    capture(context, *routing, request, answer);
    return;
  }
  answer.by_target = true;
  if (request.cls == IntentClass::ddl) {  // the application of a seed makes none any more
    answer.did = Answer::Did::no;
    return;
  }
  proxy::TargetBackend backend(context, routing, request.operation, context.clock.in(patience));
  auto written = backend.write(request.at_target);
  if (written) {
    answer.did = Answer::Did::yes;
    return;
  }
  end(written.error(), answer);
}

}  // namespace

void serve_write(World& world, Process& process, How how, const Images& images, Answer& answer) {
  Request request;
  if (how != How::image) request.cls = IntentClass::read_back;
  request.operation = "records.put";
  request.target = "/put";
  request.body = proxy::encode_images(images);
  const bool puts = images.front().record.has_value();
  request.at_target.collection = things;
  request.at_target.kind = !puts                   ? model::Write::Kind::delete_keys
                           : how == How::if_absent ? model::Write::Kind::insert_if_absent
                                                   : model::Write::Kind::replace;
  std::vector<model::Record> records;
  for (const auto& image : images) {
    request.keys.push_back(image.key);
    if (!puts) {
      request.at_target.keys.push_back(image.key);
      continue;
    }
    records.push_back(*image.record);
    const model::Record& record = *image.record;
    request.at_target.patches.push_back({record.key,
                                         record.vectors,
                                         record.document,
                                         false,
                                         record.metadata.value_or(model::Object{}),
                                         {},
                                         true});
  }
  const auto mode =
      how == How::if_absent ? protocols::UpsertMode::insert_only : protocols::UpsertMode::replace;
  request.at_source = [&world, puts, mode, records, keys = request.keys]() -> Result<void> {
    const Deadline deadline = SystemClock().in(patience);
    const auto schema = support::things();
    auto done = puts ? world.source.upsert(schema, records, mode, deadline)
                     : world.source.erase(schema, keys, deadline);
    if (!done) return done.error();
    if (!done->refused.empty())
      return done->refused.front().error.not_whole(done->refused.size() < keys.size());
    return {};
  };
  serve(world, process, request, answer);
}

void serve_delete_where(World& world, Process& process, int64_t version_max, Answer& answer) {
  Request request;
  request.cls = IntentClass::predicate;
  request.operation = "records.delete_where";
  request.target = "/delete_where";
  request.body = std::to_string(version_max);
  request.filter = support::version_at_most(version_max);
  request.at_target.kind = model::Write::Kind::delete_where;
  request.at_target.collection = things;
  request.at_target.filter = request.filter;
  request.at_source = [&world, filter = *request.filter] {
    return world.source.erase_where("things", filter, SystemClock().in(patience));
  };
  serve(world, process, request, answer);
}

void serve_change(World& world, Process& process, Change change, Answer& answer) {
  Request request;
  request.cls = IntentClass::ddl;
  request.drops = change == Change::drop;
  request.creates = change == Change::create;
  request.operation = request.drops ? "collection.drop" : "collection.create";
  request.target = request.drops ? "/drop" : "/create";
  request.at_source = [&world, change] {
    const Deadline deadline = SystemClock().in(patience);
    return change == Change::drop ? world.source.drop(things, deadline)
                                  : world.source.create(support::things(), deadline);
  };
  serve(world, process, request, answer);
}

namespace {

struct Read {
  std::vector<model::Key> keys;
  Deadline deadline;
};
using Found = Result<std::vector<model::Record>>;

// Everything acknowledged that the read could show is on the side that follows.
bool replica_has(proxy::Context& context, const std::vector<model::Key>& keys) {
  const auto dirty = [&](const auto& key) { return context.mirror.dirty(things, key); };
  if (std::none_of(keys.begin(), keys.end(), dirty)) return true;
  if (!context.mirror.only_windows_owed()) return false;
  auto& freshness = context.mirror.freshness();
  const auto decided = std::make_shared<std::promise<bool>>();
  auto fresh = decided->get_future();
  const auto waiter = freshness.when_fresh("things", proxy::Freshness::Needs::shown,
                                           context.options.read_wait > Duration::zero(),
                                           [decided](bool is) { decided->set_value(is); });
  if (fresh.wait_for(context.options.read_wait) != std::future_status::ready)
    freshness.give_up("things", waiter);
  return fresh.get();
}

Found ask_target(proxy::Context& context, std::shared_ptr<const proxy::Routing> routing, const Read& read,
                 Deadline deadline) {
  model::Query query;
  query.kind = model::Query::Kind::get;
  query.collection = things;
  query.keys = read.keys;
  proxy::TargetBackend backend(context, std::move(routing), "records.read", deadline);
  auto found = backend.query(query);
  if (!found) return found.error();
  return std::move(found->records);
}

void probe_target(proxy::Context& context, std::shared_ptr<const proxy::Routing> routing, const Read& read) {
  const bool posted = context.pool.post([&context, routing, read] {
    const auto found = ask_target(context, routing, read, context.target_read_deadline());
    if (found) {
      context.target_reads.succeeded();
    } else {
      context.target_reads.failed(found.error().message);
    }
  });
  if (!posted) context.target_reads.unused();
}

// Before a promotion, for whom the percentage says so. Nothing: the source answers.
std::optional<Found> read_from_target(proxy::Context& context, std::shared_ptr<const proxy::Routing> routing,
                                      const Read& read) {
  if (context.mirror.unfollowed() || context.journal.has_gaps() || context.collections.in_doubt())
    return std::nullopt;
  if (!replica_has(context, read.keys)) return std::nullopt;
  if (context.mirror.quarantine().holds("things")) return std::nullopt;
  if (const size_t allowed = context.target_reads.allowed(); allowed != SIZE_MAX) {
    if (allowed > 0) probe_target(context, routing, read);
    return std::nullopt;
  }
  auto found = ask_target(context, routing, read, std::min(read.deadline, context.target_read_deadline()));
  if (found) return found;
  context.target_reads.failed(found.error().message);
  return std::nullopt;
}

// A rollback has begun. Nothing: the target answers.
std::optional<Found> read_from_source(World& world, proxy::Context& context, const Read& read) {
  const auto marks = context.mirror.marks().of(things, read.keys);
  if (!marks) return std::nullopt;
  if (!replica_has(context, read.keys) || context.mirror.quarantine().holds("things")) return std::nullopt;
  const size_t allowed = context.source_reads.allowed();
  if (allowed == 0) return std::nullopt;
  const proxy::ReplicaHealth::Turn turn(context.source_reads, allowed);
  auto found = world.source.read(support::things(), read.keys, {},
                                 std::min(read.deadline, context.source_read_deadline()));
  if (!found) {
    context.source_reads.failed(found.error().message);
    return std::nullopt;
  }
  context.source_reads.succeeded();
  if (context.mirror.marks().of(things, read.keys) != marks) return std::nullopt;
  return found;
}

Found find(World& world, proxy::Context& context, const Read& read, Answer& answer) {
  const auto routing = context.routing.get();
  answer.epoch = routing->epoch;
  answer.by_target = true;
  if (routing->primary == Side::target) {
    if (routing->reads_percent == 0) {
      if (auto found = read_from_source(world, context, read)) {
        answer.moved = true;
        return std::move(*found);
      }
    }
    auto found = ask_target(context, context.routing.get(), read, read.deadline);
    context.mirror.freshness().shown();
    return found;
  }
  std::string route = "things";
  for (const auto& key : read.keys) route += '\0' + model::to_string(key.id);
  if (context.reads.side_for(*routing, route, false) == Side::target) {
    if (auto found = read_from_target(context, routing, read)) {
      answer.moved = true;
      return std::move(*found);
    }
  }
  answer.by_target = false;
  auto found = world.source.read(support::things(), read.keys, {}, read.deadline);
  context.mirror.freshness().shown();
  return found;
}

}  // namespace

void serve_read(World& world, Process& process, const std::vector<std::string>& ids, Answer& answer) {
  auto& context = process.migration->context();
  enter(context.read_gate);
  proxy::Gate::Inside inside(context.read_gate);
  Read read{{}, context.clock.in(patience)};
  for (const auto& id : ids) read.keys.push_back(support::key_of(id));
  auto found = find(world, context, read, answer);
  if (!found) return end(found.error(), answer);
  for (const auto& record : *found)
    answer.versions[model::to_string(record.key.id)] = support::version_of(record);
  answer.did = Answer::Did::yes;
}

}  // namespace vmproxy::sim

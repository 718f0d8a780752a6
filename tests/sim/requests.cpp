#include "tests/sim/requests.h"

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
  const bool refused = done.error().surely_not_done() && done.error().code != Code::overloaded;
  return refused ? Answer::Did::no : Answer::Did::unknown;
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
};

class UncapturedWrite {
 public:
  explicit UncapturedWrite(std::atomic<uint64_t>& count) : count_(count) { ++count_; }
  UncapturedWrite(const UncapturedWrite&) = delete;
  ~UncapturedWrite() { --count_; }

 private:
  std::atomic<uint64_t>& count_;
};

void enter_gate(World& world, proxy::Context& context) {
  if (const Duration pace = context.gate.pace(); pace > Duration::zero())
    world.run.sleep_until(world.run.now() + std::chrono::nanoseconds(pace).count());
  std::promise<void> inside;
  context.gate.enter([&inside] { inside.set_value(); });
  inside.get_future().wait();
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

proxy::Ticket begin(proxy::Context& context, const proxy::Routing& routing, const Request& request) {
  auto passing = context.mirror.passing();
  if (request.cls != IntentClass::predicate)
    return context.mirror.begin_keyed(routing, request.operation, things, request.keys, request.cls);
  auto ticket = context.mirror.begin_broad(routing, request.operation, things, request.cls);
  if (!enumerate(context, request, ticket)) ticket.cls = IntentClass::opaque;
  return ticket;
}

// Durable before a byte goes out; else a gap is, and it goes on.
Result<void> make_durable(proxy::Context& context, const Request& request, proxy::Ticket& ticket) {
  std::promise<Result<journal::Seq>> written;
  context.mirror.journal(ticket, {"POST", request.target, {}, request.body},
                         [&written](Result<journal::Seq> seq) { written.set_value(std::move(seq)); });
  auto seq = written.get_future().get();
  if (seq) {
    ticket.seq = *seq;
    return {};
  }
  std::promise<Result<void>> marked;
  context.journal.mark_gap("writes passed while the journal could not be written: " + seq.error().message,
                           [&marked](Result<void> done) { marked.set_value(std::move(done)); });
  return marked.get_future().get();
}

void capture(proxy::Context& context, const proxy::Routing& routing, const Request& request, Answer& answer) {
  auto ticket = begin(context, routing, request);
  if (auto durable = make_durable(context, request, ticket); !durable) {
    context.mirror.drop(std::move(ticket));
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
  context.mirror.finish(std::move(ticket), std::move(outcome));
}

void serve(World& world, Process& process, const Request& request, Answer& answer) {
  auto& context = process.migration->context();
  if (!context.routing.get()->capture) {
    const UncapturedWrite counted(context.uncaptured_writes);
    const auto routing = context.routing.get();
    if (!routing->capture) {
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
  proxy::TargetBackend backend(context, routing, request.operation, context.clock.in(patience));
  auto written = backend.write(request.at_target);
  if (written) {
    answer.did = Answer::Did::yes;
    return;
  }
  end(written.error(), answer);
}

}  // namespace

void serve_write(World& world, Process& process, const Images& images, Answer& answer) {
  Request request;
  request.operation = "records.put";
  request.target = "/put";
  request.body = proxy::encode_images(images);
  const bool puts = images.front().record.has_value();
  request.at_target.collection = things;
  request.at_target.kind = puts ? model::Write::Kind::replace : model::Write::Kind::delete_keys;
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
  request.at_source = [&world, puts, records, keys = request.keys]() -> Result<void> {
    const Deadline deadline = SystemClock().in(patience);
    const auto schema = support::things();
    auto done = puts ? world.source.upsert(schema, records, protocols::UpsertMode::replace, deadline)
                     : world.source.erase(schema, keys, deadline);
    if (!done) return done.error();
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

void serve_read(World& world, Process& process, const std::vector<std::string>& ids, Answer& answer) {
  auto& context = process.migration->context();
  const auto routing = context.routing.get();
  answer.epoch = routing->epoch;
  answer.by_target = routing->primary == Side::target;
  std::vector<model::Key> keys;
  for (const auto& id : ids) keys.push_back(support::key_of(id));
  const Deadline deadline = context.clock.in(patience);
  std::vector<model::Record> records;
  if (answer.by_target) {
    model::Query query;
    query.kind = model::Query::Kind::get;
    query.collection = things;
    query.keys = keys;
    proxy::TargetBackend backend(context, routing, "records.read", deadline);
    auto found = backend.query(query);
    if (!found) return end(found.error(), answer);
    records = std::move(found->records);
  } else {
    auto found = world.source.read(support::things(), keys, {}, deadline);
    if (!found) return end(found.error(), answer);
    records = std::move(*found);
  }
  for (const auto& record : records)
    answer.versions[model::to_string(record.key.id)] = support::version_of(record);
  answer.did = Answer::Did::yes;
}

}  // namespace vmproxy::sim

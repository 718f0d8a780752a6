// Pipeline: what becomes of one request (design.md, the life of a write and of a read). One per listener; runs as the
// handler of net::Server, so on io threads: everything that blocks is posted to the context's pool.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "net/exchange.h"
#include "net/upstream.h"
#include "proxy/context.h"
#include "proxy/expected_answer.h"
#include "proxy/on_pool.h"
#include "proxy/request_metrics.h"

namespace vmproxy::proxy {

class Pipeline {
 public:
  Pipeline(Context& context, std::string listener);

  // No coroutine of its own: what the request turns out to be is one.
  boost::asio::awaitable<void> handle(net::Exchange& exchange);

 private:
  using Row = protocols::OperationRow;

  // Reads pass a gate before it is looked where they go.
  boost::asio::awaitable<void> handle_read(net::Exchange& exchange, const Row* row);
  boost::asio::awaitable<void> route(net::Exchange& exchange, const Row* row);

  // While the source is primary.
  boost::asio::awaitable<void> pass(net::Exchange& exchange, const Row* row);
  boost::asio::awaitable<void> pass_uncaptured(net::Exchange& exchange, const Row* row);
  boost::asio::awaitable<void> read(net::Exchange& exchange, const Row& row);
  // True when the target answered.
  boost::asio::awaitable<bool> read_from_target(net::Exchange& exchange, ByteBudget::Share& held,
                                                const Row& row, const protocols::Operation& operation,
                                                std::shared_ptr<const Routing> routing);
  void probe_target(net::Exchange& exchange, const Row& row, std::shared_ptr<const Routing> routing);
  boost::asio::awaitable<void> write(net::Exchange& exchange, const Row* row);
  boost::asio::awaitable<void> capture(net::Exchange& exchange, ByteBudget::Share& held, const Row* row,
                                       std::shared_ptr<const Routing> routing);
  boost::asio::awaitable<void> forward(net::Exchange& exchange, ByteBudget::Share& held, const Row* row);

  struct Captured {  // a decoded write on its way through the journal
    std::string name;
    bool included = true;
    bool decoded = false;
    bool in_doubt = false;    // its names may stand for other collections: a gap
    bool lost_track = false;  // a predicate whose records could not be enumerated: one unless it is rejected
    bool unseen = false;  // makes a collection, and whether it was there before could not be asked: the same
    protocols::Operation operation;
    Ticket ticket;
    std::optional<InFlight::Passing> passing;  // until it has a ticket; an excluded one gets none
    std::vector<std::shared_ptr<const Collection>>
        before;  // a change of collections: what there was when it began
    std::optional<SourceDrops::Call> dropping;
    bool followed = false;  // what it dropped is gone on the target, too
  };
  boost::asio::awaitable<Captured> begin(net::Exchange& exchange, const Row* row, const Routing& routing);
  boost::asio::awaitable<Result<void>> ask_source(net::Exchange& exchange);
  boost::asio::awaitable<Result<protocols::Operation>> decode(net::Exchange& exchange, const Row& row);
  boost::asio::awaitable<void> enumerate(net::Exchange& exchange, Captured& captured);
  void try_on_target(model::Query query, std::shared_ptr<const Collection> collection);
  // False: the write must be refused.
  boost::asio::awaitable<Result<void>> make_durable(net::Exchange& exchange, Captured& captured);
  boost::asio::awaitable<Result<void>> mark_doubtful(net::Exchange& exchange, Captured& captured);
  boost::asio::awaitable<Result<void>> mark_gap(net::Exchange& exchange, std::string what);
  void let_go(Captured& captured);
  boost::asio::awaitable<journal::OutcomeRecord> what_became_of(net::Exchange& exchange, Captured& captured,
                                                                const Row* row,
                                                                const Result<net::Response>& answer);
  boost::asio::awaitable<void> look_before(net::Exchange& exchange, Captured& captured);
  void gap(const std::string& what);
  void follow(const Collection& before, const Collection& now, Deadline deadline);
  // False, too, when nobody says.
  bool holds_nothing_there(const Collection& collection, Deadline deadline);
  Result<void> make_anew(const Collection& before, const Collection& now, Deadline deadline);
  boost::asio::awaitable<void> after_ddl(net::Exchange& exchange, Captured& captured, model::Outcome outcome);

  boost::asio::awaitable<bool> replica_has(net::Exchange& exchange, const protocols::Operation& operation);
  // The code of what the target cannot answer, which is counted.
  std::string unanswerable(const Error& error);

  // After promotion.
  boost::asio::awaitable<bool> read_from_source(net::Exchange& exchange, ByteBudget::Share& held,
                                                const Row& row);
  boost::asio::awaitable<void> serve(net::Exchange& exchange, const Row* row);
  boost::asio::awaitable<Result<net::Response>> ask_target(net::Exchange& exchange, const Row& row,
                                                           std::shared_ptr<const Routing> routing,
                                                           Deadline deadline);

  static bool reads(const Row* row) { return row != nullptr && row->cls == protocols::OperationClass::read; }
  // The request's body is here, and counted in `held`, of a read with what making its answer may take. False: it is not, and what there was to answer is answered.
  boost::asio::awaitable<bool> hold_body(net::Exchange& exchange, const Row* row,
                                         std::optional<ByteBudget::Share>& held);
  // The answer is here too, and is counted until the client has taken it, which may be slow.
  void hold_answer(ByteBudget::Share& held, const net::Exchange& exchange, const Row* row,
                   const net::Response& answer) {
    if (reads(row)) expected_answer_.seen(answer.body.size());
    held.becomes(exchange.request().body.size() + answer.body.size());
  }
  // False when half of the time until the request's deadline is over: nothing was taken. What gets its turn has the other half,
  // so that it is not sent only to be given up on its way.
  boost::asio::awaitable<bool> wait_for(net::Exchange& exchange, ByteBudget& budget, uint64_t& bytes);
  // The same, for ByteBudget::Share(context_.change_slots, 1).
  boost::asio::awaitable<bool> wait_for_change_slot(net::Exchange& exchange);
  boost::asio::awaitable<void> enter_gate(net::Exchange& exchange);
  boost::asio::awaitable<void> wait_at(Gate& gate, net::Exchange& exchange);
  boost::asio::awaitable<bool> read_body(net::Exchange& exchange);
  static Error unknown_credential() {
    return {Code::unauthenticated, "the source had not accepted this credential before it was replaced"};
  }
  boost::asio::awaitable<void> reply_error(net::Exchange& exchange, const Error& error, const Row* row);
  template <class T>
  boost::asio::awaitable<Result<T>> on_pool(net::Exchange& exchange, std::function<Result<T>()> work) {
    return proxy::on_pool<T>(context_.pool, exchange.executor(), std::move(work));
  }
  std::string route_key(const net::RequestHead& head, const protocols::Operation& operation) const;
  // An answer is there: counted, with the time it took.
  void count(const net::Exchange& exchange, const Row* row, Served side, std::string_view outcome);
  // The source answered: who asked is known from now on if it let them in; counted.
  void ended(const net::Exchange& exchange, const Row* row, const net::Response& answer);
  std::string_view verdict(const Row* row, const net::Response& answer) const;

  Context& context_;
  RequestMetrics requests_;
  Histogram overhead_;
  ExpectedAnswer expected_answer_;
};

}  // namespace vmproxy::proxy

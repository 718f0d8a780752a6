// Pool: at most `connections_max` connections to one server; a caller waits for a free one until its
// deadline. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "protocols/pgvector/connection.h"

namespace vmproxy::protocols::pgvector {

class Pool {
 public:
  Pool(Address address, Clock& clock, size_t connections_max);
  ~Pool();

  // Returns its connection when it goes; a connection that broke is closed.
  class Lease {
   public:
    Lease(Pool& pool, std::unique_ptr<Connection> connection)
        : pool_(&pool), connection_(std::move(connection)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (connection_) pool_->give_back(std::move(connection_));
    }
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }

   private:
    Pool* pool_;
    std::unique_ptr<Connection> connection_;
  };

  // Errors are all surely_not_done: nothing was sent.
  Result<Lease> take(Deadline deadline);
  const Address& address() const { return address_; }

 private:
  void give_back(std::unique_ptr<Connection> connection);

  const Address address_;
  Clock& clock_;
  const size_t connections_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Connection>> idle_;  // newest last
  size_t open_ = 0;                                // idle and lent
};

}  // namespace vmproxy::protocols::pgvector

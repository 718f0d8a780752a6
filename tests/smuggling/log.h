// What the two sides of the proxy saw of a batch of cases. Thread-safe.
#pragma once

#include <map>
#include <mutex>

#include "net/message.h"
#include "strict_reader.h"

namespace vmproxy::smuggling {

// A request as a handler of the front took it up, and what it believes became of it.
struct Believed {
  std::string method, target;
  Fields fields;
  bool answered = false;  // by the database
};

class Log {
 public:
  size_t believe(const net::RequestHead& head) {
    std::lock_guard hold(mutex_);
    believed_.push_back({head.method, head.target, head.headers.all(), false});
    return believed_.size() - 1;
  }
  void answered(size_t index) {
    std::lock_guard hold(mutex_);
    believed_[index].answered = true;
  }
  // At the database.
  void arrived(ReadRequest request) {
    std::lock_guard hold(mutex_);
    arrived_.push_back(std::move(request));
  }
  // All bytes of one of its connections, when that has ended.
  void connection(std::string bytes) {
    std::lock_guard hold(mutex_);
    connections_.push_back(std::move(bytes));
  }

  // When nobody writes any more.
  const std::vector<Believed>& believed() const { return believed_; }
  const std::vector<ReadRequest>& arrived() const { return arrived_; }
  const std::vector<std::string>& connections() const { return connections_; }

 private:
  std::mutex mutex_;
  std::vector<Believed> believed_;
  std::vector<ReadRequest> arrived_;
  std::vector<std::string> connections_;
};

}  // namespace vmproxy::smuggling

// Client: unary calls of MilvusService, their failures as Errors. Thread-safe as its Caller is.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/message.h"
#include "protocols/api/system.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

// Carries one message to PATH and its answer back. Errors as Driver promises them: a call that may have been
// executed is connection_lost, timeout or unavailable; a gRPC status that is not OK was mapped by
// grpc_error().
using Caller = std::function<Result<std::string>(const std::string& path, const net::Headers& metadata,
                                                 const std::string& message, Deadline deadline)>;

// Of RESOURCE_EXHAUSTED: its transport could not send the answer, so the call was carried out. Anything else with that code
// is said before a call begins.
bool said_of_the_answer(std::string_view text);
// A gRPC status that is not OK, by its number.
Error grpc_error(int code, std::string message);
// A Status that is not a success. `invalid` and its like are only said of what Milvus refuses before it
// begins; `precondition` of a read of what is not loaded.
Error status_error(const Status& status);
// True when the proof is there that nothing was done.
bool refused_before_start(const Status& status);
// ... but not of a Delete by an expression: there Milvus searches, and deletes batch by batch what it finds. What ends that in
// the middle has codes that else say that nothing was begun ("complex delete failed,but delete some data" stands in its log;
// internal/proxy/task_delete.go, words of lb_policy.go).
bool said_in_the_middle(const Status& status);

class Client {
 public:
  Client(const Endpoint& endpoint, Caller caller);

  // The answer of a call that returns its Status as field 1 of a message. Not a success: an Error.
  Result<std::string> call(std::string_view rpc, std::string_view database, const ProtoWriter& request,
                           Deadline deadline) const;
  // ... of one that returns a Status.
  Result<void> command(std::string_view rpc, std::string_view database, const ProtoWriter& request,
                       Deadline deadline) const;

 private:
  Result<std::string> send(std::string_view rpc, std::string_view database, const std::string& message,
                           Deadline deadline) const;

  Caller caller_;
  net::Headers credentials_;
};

}  // namespace vmproxy::protocols::milvus

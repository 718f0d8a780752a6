// Answers in the server's shape: compact JSON, `{"error": KIND, "message": TEXT}` and a trace id on every
// failure.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/message.h"

namespace vmproxy::protocols::chroma {

net::Response answer(std::string body, int status = 200);
net::Response refuse(int status, std::string_view kind, std::string_view message);
// Without a body, as the server answers paths that it does not know.
net::Response refuse_bare(int status);

net::Response invalid(std::string_view message);         // 400 InvalidArgumentError
net::Response not_found(std::string_view message);       // 404 NotFoundError
net::Response conflict(std::string_view message);        // 409 ChromaError
net::Response internal_error(std::string_view message);  // 500 InternalError

// An error of ours as the server would have said it.
net::Response answer_error(const Error& error);

}  // namespace vmproxy::protocols::chroma

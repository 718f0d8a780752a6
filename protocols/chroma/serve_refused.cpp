// What the local server itself refuses, in its words.
#include "protocols/chroma/answer.h"
#include "protocols/chroma/body.h"
#include "protocols/chroma/serve.h"

namespace vmproxy::protocols::chroma {
namespace {

net::Response unimplemented(std::string_view message) {
  return refuse(501, "ChromaError", message);
}

net::Response tonic(std::string_view message) {
  return unimplemented("Tonic error: code: 'Operation is not implemented or not supported', message: \"" +
                       std::string(message) + "\"");
}

// The body is read first, then the collection looked up, then it is refused.
Answer refuse_collection(const Asked& asked, std::string_view type, std::string_view required,
                         net::Response refusal) {
  if (!required.empty()) {
    BodyReader in(asked.request.body);
    if (!in.whole(type, {required}, [&](const std::string& name) { return name == required && in.skip(); }))
      return in.refusal();
  }
  Found found = find_collection(asked);
  return found.refusal ? std::move(*found.refusal) : std::move(refusal);
}

Answer attach(const Asked& asked) {
  BodyReader in(asked.request.body);
  const bool read = in.whole(
      "AttachFunctionRequest", {"name", "function_id", "output_collection"}, [&](const std::string& name) {
        return (name == "name" || name == "function_id" || name == "output_collection") && in.skip();
      });
  if (!read) return in.refusal();
  return tonic(" Attached Function operations not yet implemented in SqliteSysDb");
}

Answer detach(const Asked& asked) {
  BodyReader in(asked.request.body);
  if (!in.whole("DetachFunctionRequest", {}, [](const std::string&) { return false; })) return in.refusal();
  return tonic("Not implemented");
}

}  // namespace

Answer serve_refused(Asked& asked) {
  switch (asked.call) {
    case Call::reset: return refuse(403, "ChromaError", "Reset is disabled by config");
    case Call::search:
      return refuse_collection(asked, "SearchRequestPayload", "searches",
                               unimplemented("Error executing plan: Not implemented: Search operation is not "
                                             "implemented for local executor"));
    case Call::fork:
      return refuse_collection(asked, "ForkCollectionPayload", "new_name",
                               unimplemented("Collection forking is unsupported for local chroma"));
    case Call::fork_count:
      return refuse_collection(asked, "", "", unimplemented("Count forks is unsupported for local chroma"));
    case Call::indexing_status:
      return refuse_collection(asked, "", "", internal_error("Method scout_logs is not implemented"));
    case Call::attach_function: return attach(asked);
    case Call::get_function: return not_found("Attached function not found");
    case Call::detach_function: return detach(asked);
    // The local server breaks the connection without an answer (its code for this panics).
    default: return Error(Code::unsupported, "collection.crn: the server has no answer to this either");
  }
}

}  // namespace vmproxy::protocols::chroma

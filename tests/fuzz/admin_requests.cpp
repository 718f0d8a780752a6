// Requests of the admin API: the first line of an input is "METHOD TARGET", the rest is the body.
#include "tests/admin/fixture.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [line, body] = fuzz::first_line(fuzz::text_of(data, size));
  const auto blank = line.find(' ');
  if (blank == line.npos) return 0;
  testing::AdminFixture admin;
  admin.token = size % 2 == 0 ? "" : "secret";
  const std::string authorization =
      size % 4 == 1 ? "Bearer secret" : "Bearer " + std::string(body.substr(0, 6));
  const auto response =
      admin.send(std::string(line.substr(0, blank)), std::string(line.substr(blank + 1)), std::string(body),
                 {{"authorization", authorization}, {"host", "127.0.0.1:7070"}});
  must(response.status >= 200 && response.status < 500, "a request is answered, and breaks nothing");
  const bool authorized = admin.token.empty() || authorization == "Bearer secret";
  must(authorized || admin.control.calls().empty(), "nobody without the token changes anything");
  const auto type = response.headers.find("content-type").value_or("");
  if (type.find("json") == type.npos) return 0;
  boost::json::error_code failed;
  const auto value = boost::json::parse(response.body, failed);
  must(!failed, "an answer is JSON");
  if (response.status >= 400)
    must(value.as_object().at("status") == response.status, "a refusal has the shape of one");
  return 0;
}

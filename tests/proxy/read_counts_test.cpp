#include <catch2/catch.hpp>

#include "proxy/context.h"

using namespace vmproxy;

TEST_CASE("every read that the source answers for the target is counted in the metric, whatever the reason") {
  Metrics metrics;
  proxy::ReadCounts counts(metrics);
  for (const char* reason :
       {"stale", "stale", "quarantine", "target_slow", "not_included", "not_decoded", "filter.regex"})
    counts.returned(reason);
  const std::string text = metrics.render();
  CHECK(text.find("vmproxy_reads_returned_total{reason=\"stale\"} 2\n") != std::string::npos);
  for (const char* reason : {"quarantine", "target_slow", "not_included", "not_decoded", "filter.regex"})
    CHECK(text.find("vmproxy_reads_returned_total{reason=\"" + std::string(reason) + "\"} 1\n") !=
          std::string::npos);
  CHECK(counts.returned_by_reason().at("stale") == 2);
  CHECK(counts.source_reads() == 7);
}

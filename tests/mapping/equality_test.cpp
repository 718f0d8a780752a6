#include "mapping/equality.h"

#include <catch2/catch.hpp>

#include "mapping/inference.h"

using namespace vmproxy;
using model::Record;

namespace {
Record record() {
  Record r;
  r.key.id.value = std::string("x");
  r.vectors[""] = model::DenseVector{1, 2, 2};
  r.document = "text";
  r.metadata = model::Object{{"price", 1}, {"tags", model::Array{"a"}}};
  return r;
}
}  // namespace

TEST_CASE("a record equals itself, and differences are named") {
  const Record a = record();
  CHECK_FALSE(mapping::difference(a, a, false));
  Record b = a;
  b.metadata->at("price") = 1.0;
  CHECK(mapping::difference(a, b, false) == "metadata.price: 1 / 1.0");
  b = a;
  b.metadata->erase("tags");
  CHECK(mapping::difference(a, b, false) == "metadata.tags: an array of 1 / absent");
  CHECK(mapping::difference(b, a, false) == "metadata.tags: absent / an array of 1");
  b = a;
  b.document.reset();
  CHECK(mapping::difference(a, b, false) == "document: present / absent");
  b = a;
  b.metadata.reset();
  CHECK(mapping::difference(a, b, false) == "metadata: present / absent");
  b = a;
  b.vectors.clear();
  CHECK(mapping::difference(a, b, false) == "vector: present / absent");
  b = a;
  b.vectors[""] = model::DenseVector{1, 2};
  CHECK(mapping::difference(a, b, false) == "vector: dimension 3 / 2");
}

TEST_CASE("vectors are equal within one millionth of their length") {
  const Record a = record();
  Record b = a;
  std::get<model::DenseVector>(b.vectors[""])[0] += 2e-6F;
  CHECK_FALSE(mapping::difference(a, b, false));
  std::get<model::DenseVector>(b.vectors[""])[0] += 1e-5F;
  CHECK(mapping::difference(a, b, false) == "vector: values differ");
}

TEST_CASE("with directions only a normalised vector equals the original") {
  const Record a = record();
  Record b = a;
  b.vectors[""] = model::DenseVector{1.0F / 3, 2.0F / 3, 2.0F / 3};
  CHECK_FALSE(mapping::difference(a, b, true));
  CHECK(mapping::difference(a, b, false));
  b.vectors[""] = model::DenseVector{0, 0, 0};
  CHECK(mapping::difference(a, b, true));
}

TEST_CASE("sparse vectors compare indices exactly and values with tolerance") {
  Record a = record();
  a.vectors[""] = model::SparseVector{{1, 5}, {1, 2}};
  Record b = a;
  CHECK_FALSE(mapping::difference(a, b, false));
  b.vectors[""] = model::SparseVector{{1, 6}, {1, 2}};
  CHECK(mapping::difference(a, b, false) == "vector: indices differ");
  CHECK(mapping::difference(a, record(), false) == "vector: one is dense, the other sparse");
}

TEST_CASE("types of fields are inferred from a sample") {
  std::vector<Record> sample(3, record());
  sample[0].metadata =
      model::Object{{"n", 1}, {"mixed", 1}, {"list", model::Array{1, 2}}, {"o", model::Object{}}};
  sample[1].metadata = model::Object{{"n", 2}, {"mixed", "x"}, {"list", model::Array{}}, {"s", nullptr}};
  sample[2].metadata = model::Object{{"n", 3}, {"mixed", 1.0}, {"list", model::Array{1, "x"}}, {"s", "x"}};
  const auto fields = mapping::infer_fields(sample);
  CHECK(fields.at("n").field.kind == model::FieldKind::int64);
  CHECK_FALSE(fields.at("n").field.nullable);
  CHECK(fields.at("mixed").mixed);
  CHECK(fields.at("mixed").field.kind == model::FieldKind::json);
  CHECK(fields.at("list").field.kind == model::FieldKind::array);
  CHECK(fields.at("list").field.element == model::FieldKind::json);
  CHECK(fields.at("o").field.kind == model::FieldKind::json);
  CHECK(fields.at("s").field.kind == model::FieldKind::string);
  CHECK(fields.at("s").field.nullable);
  CHECK(fields.at("s").null == 1);
}

#include "quire/base/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace quire {
namespace {

std::string Escape(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

}  // namespace

// One name with its series. Exactly one of the three lists is filled.
struct MetricsRegistry::Family {
  std::string help;
  std::string type;
  std::vector<std::pair<std::string, std::unique_ptr<Counter>>> counters;
  std::vector<std::pair<std::string, std::unique_ptr<Gauge>>> gauges;
  std::vector<std::pair<std::string, std::unique_ptr<Histogram>>> histograms;
};

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), buckets_(bounds.size() + 1) {}

void Histogram::Observe(double value) {
  const size_t i = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  buckets_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

MetricsRegistry::MetricsRegistry(MetricLabels common_labels) : common_labels_(std::move(common_labels)) {}
MetricsRegistry::~MetricsRegistry() = default;

MetricsRegistry::Family& MetricsRegistry::FamilyOf(const std::string& name, const std::string& help,
                                                   const char* type) {
  auto& family = families_[name];
  if (!family) family = std::make_unique<Family>(Family{help, type, {}, {}, {}});
  return *family;
}

std::string MetricsRegistry::LabelText(const MetricLabels& labels) const {
  std::string text;
  for (const MetricLabels* list : {&common_labels_, &labels}) {
    for (const auto& [key, value] : *list) {
      text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", key, Escape(value));
    }
  }
  return text;
}

Counter& MetricsRegistry::AddCounter(const std::string& name, const std::string& help, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  auto& list = FamilyOf(name, help, "counter").counters;
  return *list.emplace_back(LabelText(labels), std::make_unique<Counter>()).second;
}

Gauge& MetricsRegistry::AddGauge(const std::string& name, const std::string& help, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  auto& list = FamilyOf(name, help, "gauge").gauges;
  return *list.emplace_back(LabelText(labels), std::make_unique<Gauge>()).second;
}

Histogram& MetricsRegistry::AddHistogram(const std::string& name, const std::string& help,
                                         std::span<const double> bounds, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  auto& list = FamilyOf(name, help, "histogram").histograms;
  return *list.emplace_back(LabelText(labels), std::make_unique<Histogram>(bounds)).second;
}

std::string MetricsRegistry::Render() const {
  std::lock_guard lock(mutex_);
  std::string out;
  const auto braces = [](const std::string& labels) { return labels.empty() ? "" : "{" + labels + "}"; };
  for (const auto& [name, family] : families_) {
    const std::string shown = family->type == "counter" ? name + "_total" : name;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", shown, family->help, shown, family->type);
    for (const auto& [labels, counter] : family->counters)
      out += fmt::format("{}{} {}\n", shown, braces(labels), counter->value());
    for (const auto& [labels, gauge] : family->gauges)
      out += fmt::format("{}{} {}\n", shown, braces(labels), gauge->value());
    for (const auto& [labels, histogram] : family->histograms) {
      uint64_t count = 0;
      const std::string comma = labels.empty() ? "" : labels + ",";
      for (size_t i = 0; i <= histogram->bounds().size(); ++i) {
        count += histogram->bucket(i);
        const std::string bound =
            i < histogram->bounds().size() ? fmt::format("{}", histogram->bounds()[i]) : "+Inf";
        out += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", name, comma, bound, count);
      }
      out += fmt::format("{}_sum{} {}\n{}_count{} {}\n", name, braces(labels), histogram->sum(), name,
                         braces(labels), count);
    }
  }
  return out;
}

}  // namespace quire

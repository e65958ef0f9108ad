// Counters, gauges and histograms in Prometheus' text exposition format. Recording is lock-free; the objects
// live as long as their registry.
#ifndef QUIRE_BASE_METRICS_H_
#define QUIRE_BASE_METRICS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace quire {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void Add(double amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  // Upper bounds, ascending; a last bucket up to infinity is added.
  explicit Histogram(std::span<const double> bounds);
  void Observe(double value);
  const std::vector<double>& bounds() const { return bounds_; }
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }  // not cumulative
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> buckets_;
  std::atomic<double> sum_{0};
};

class MetricsRegistry {
 public:
  // Labels put on every metric, e.g. {{"model_name", "smollm2"}}.
  explicit MetricsRegistry(MetricLabels common_labels = {});
  ~MetricsRegistry();

  // Each call makes a new series of the family `name`. A counter's name is given without "_total".
  Counter& AddCounter(const std::string& name, const std::string& help, MetricLabels labels = {});
  Gauge& AddGauge(const std::string& name, const std::string& help, MetricLabels labels = {});
  Histogram& AddHistogram(const std::string& name, const std::string& help, std::span<const double> bounds,
                          MetricLabels labels = {});

  // The exposition text of every series.
  std::string Render() const;

 private:
  struct Family;
  Family& FamilyOf(const std::string& name, const std::string& help, const char* type);
  std::string LabelText(const MetricLabels& labels) const;

  MetricLabels common_labels_;
  mutable std::mutex mutex_;  // guards the structure, not the values
  std::map<std::string, std::unique_ptr<Family>> families_;
};

}  // namespace quire

#endif  // QUIRE_BASE_METRICS_H_

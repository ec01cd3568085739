// Turns a row of logits into a token: bias, penalties, temperature, top-k, top-p, min-p and the draw.
// Same options, tokens and logits, same draws on every machine and any thread count: own random numbers (random.h), own
// exp (exp.h), every sum in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/logit_row.h"

namespace g4 {

// The defaults of temperature, top_k and top_p are the ones Gemma was published with.
struct SamplerOptions {
  double temperature = 1.0;         // >= 0; 0 is greedy
  int64_t top_k = 64;               // >= 0; 0 keeps all
  double top_p = 0.95;              // in [0, 1]; 1 keeps all
  double min_p = 0.0;               // in [0, 1]; 0 keeps all
  double repetition_penalty = 1.0;  // > 0; 1 is none
  double presence_penalty = 0.0;    // finite; negative favours what was seen
  double frequency_penalty = 0.0;   // finite
  int64_t penalty_window = 64;      // the penalties see the last so many accepted tokens; 0: all of them
  std::vector<std::pair<int32_t, float>> logit_bias;  // (id, finite bias)
  std::vector<int32_t> suppress;                      // ids never drawn
  uint64_t seed = 0;
};

// The steps, in this order (from step 4 on, that of the transformers library):
//   1. bias: added to the logit; several biases of one id add up                             (OpenAI API, logit_bias)
//   2. penalties, over the accepted tokens in the window:
//      repetition: a logit >= 0 is divided, one < 0 multiplied, once per distinct token; CTRL (Keskar et al. 2019,
//      section 4.1) only divides, multiplying is the usual repair where that would raise a negative logit;
//      then minus presence, minus frequency * count                     (OpenAI API, presence and frequency penalties)
//   3. suppress: -inf, whatever steps 1 and 2 made of it
//   4. temperature: weight = exp((logit - largest logit) / temperature)
//   5. top_k: the k largest, equal ones by lower id (exactly k; transformers keeps all that equal the last)
//   6. top_p: the shortest prefix, in descending order, with at least top_p of the weight step 5 left
//                                                                                            (Holtzman et al. 2020)
//   7. min_p: tokens with at least min_p of the best token's weight                             (Nguyen et al. 2024)
//   8. draw: the first token in descending order whose cumulative weight exceeds u * (the weight kept), u in [0, 1)
// The best token always stays. Temperature 0 or top_k 1: the largest logit after steps 1-3, lowest id on ties.
// A token depends on the options, the accepted tokens, how many samples came before, and the logits, on nothing else.
// The best of a row of logits, in descending order, equal ones by lower id, with the row's length.
struct TopLogits {
  std::span<const int32_t> ids;
  std::span<const float> values;
  size_t n_vocab = 0;
};

class Sampler {
 public:
  // Throws ArgumentError naming the option, its value and its range.
  explicit Sampler(SamplerOptions options);

  // Records a token of the prompt or the output for the penalties. Throws ArgumentError when it is negative.
  void accept(int32_t token);

  // logits [n_vocab]; -inf is a masked token. Throws ModelError: NaN, +inf, every token masked; ArgumentError: an empty
  // row, or an id in logit_bias, suppress or accepted that is not below n_vocab. A call that throws is not a draw.
  int32_t sample(std::span<const float> logits);

  // How many of a row's best logits decide the next sample; 0: all do, as when nothing bounds the tokens kept or a
  // logit may rise.
  size_t deciding() const;
  // The same token as from the whole row, whose best deciding() logits (or more) these are, finite ones first: no NaN
  // and no +inf. Throws as the other does.
  int32_t sample_best(const TopLogits& best);

  const SamplerOptions& options() const { return options_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };

  bool penalises() const;
  // Steps 1 to 3, by get(id) -> const float* (nullptr: whatever becomes of this logit, it is not drawn) and set(id,
  // value).
  template <class Get, class Set>
  void adjust(size_t n_vocab, const Get& get, const Set& set) const;
  int32_t choose();
  int32_t best_token() const;
  double weight_of_all() const;
  int32_t draw();
  void collect(size_t n);
  void order(size_t n);
  bool reaches(size_t i);

  SamplerOptions options_;
  uint64_t n_draws_ = 0;

  std::vector<int32_t> history_;                     // the tokens in the window, a ring once it is full
  size_t oldest_ = 0;                                // where the ring starts
  std::vector<std::pair<int32_t, int64_t>> counts_;  // (id, occurrences in the window), ascending ids

  // Scratch of one call, kept so that later calls allocate nothing.
  LogitRow row_;
  size_t n_vocab_ = 0;
  float largest_ = 0;  // after steps 1 to 3
  std::vector<float> maxima_;
  std::vector<Candidate> candidates_;  // holds the first tokens of the descending order; [0, cumulative_.size()) sorted
  std::vector<double> cumulative_;     // [i]: weight of candidates 0..i
  bool complete_ = false;              // candidates_ holds all there are
};

}  // namespace g4

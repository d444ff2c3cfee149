// A loop over items, shared among threads that take the next item when they are done with one.
#pragma once
#include <atomic>
#include <thread>
#include <vector>

template <class Body>
void parallel(int64_t items, int threads, Body body) {
    std::atomic<int64_t> next{0};
    auto work = [&](int thread) {
        for (int64_t i; (i = next.fetch_add(1)) < items;) body(thread, i);
    };
    if (threads > items) threads = static_cast<int>(items);
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++) others.emplace_back(work, t);
    work(0);
    for (auto& t : others) t.join();
}

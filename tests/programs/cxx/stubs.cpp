// The C++ side of cxx.ml.

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iomanip>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include <caml/alloc.h>
#include <caml/callback.h>
#include <caml/fail.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <caml/threads.h>
}

namespace {

// Says when it is constructed and destroyed.
struct Noisy {
    std::string name;
    explicit Noisy(const char *name) : name(name) { std::cout << "constructed: " << name << std::endl; }
    ~Noisy() { std::cout << "destroyed: " << name << std::endl; }
};

Noisy global("global");
thread_local Noisy of_thread("object of a thread");
thread_local int counter = 40;

// A frame between the throw and its handler, with an object to destroy.
int thrower(int number) {
    Noisy frame("frame");
    if (number > 2) throw std::runtime_error("thrown " + std::to_string(number));
    return number;
}

}  // namespace

extern "C" {

value cxx_vectors(value count) {
    std::vector<int> numbers(Int_val(count));
    std::iota(numbers.begin(), numbers.end(), 1);
    return Val_int(std::accumulate(numbers.begin(), numbers.end(), 0));
}

value cxx_exceptions(value number) {
    // The exception of OCaml is raised outside of the handler, which has to end.
    std::string text;
    try {
        thrower(Int_val(number));
    } catch (const std::exception &e) {
        text = e.what();
    }
    try {
        std::vector<int>(3).at(10) = 1;
    } catch (const std::out_of_range &) {
        std::cout << "caught: out of range" << std::endl;
    }
    try {
        try {
            throw std::bad_alloc();
        } catch (...) {
            std::throw_with_nested(std::logic_error("outer"));
        }
    } catch (const std::logic_error &e) {
        std::cout << "caught: " << e.what() << std::endl;
    }
    const void *volatile no_object = nullptr;
    try {
        if (!no_object) throw 42;
    } catch (int n) {
        std::cout << "caught: " << n << std::endl;
    }
    if (!text.empty()) {
        char kept[64];
        text.copy(kept, sizeof kept - 1);
        kept[std::min(text.size(), sizeof kept - 1)] = 0;
        text.clear();
        text.shrink_to_fit();
        caml_raise_with_string(*caml_named_value("thrown"), kept);
    }
    return Val_unit;
}

value cxx_threads(value) {
    std::mutex mutex;
    int total = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&, i] {
            counter += i;
            std::lock_guard<std::mutex> guard(mutex);
            total += counter;
        });
    for (auto &thread : threads) thread.join();
    std::cout << "threads: " << total << ", this one: " << counter << std::endl;
    std::thread([] {
        const std::string &name = of_thread.name;
        std::cout << "uses: " << name << std::endl;
    }).join();
    auto future = std::async(std::launch::async, []() -> int { throw std::logic_error("of a thread"); });
    try {
        future.get();
    } catch (const std::logic_error &e) {
        std::cout << "caught: " << e.what() << std::endl;
    }
    std::once_flag once;
    int calls = 0;
    for (int i = 0; i < 3; i++) std::call_once(once, [&] { calls++; });
    std::cout << "calls: " << calls << std::endl;
    return Val_unit;
}

value cxx_clocks(value) {
    using namespace std::chrono;
    std::mutex mutex;
    std::condition_variable condition;
    bool is_set = false;
    std::unique_lock<std::mutex> lock(mutex);
    auto begin = steady_clock::now();
    bool in_time = condition.wait_for(lock, milliseconds(30), [&] { return is_set; });
    auto took = steady_clock::now() - begin;
    std::cout << "waited: " << (!in_time && took >= milliseconds(30)) << std::endl;
    std::thread setter([&] {
        std::lock_guard<std::mutex> guard(mutex);
        is_set = true;
        condition.notify_all();
    });
    std::cout << "set: " << condition.wait_for(lock, minutes(5), [&] { return is_set; }) << std::endl;
    lock.unlock();
    setter.join();
    std::timed_mutex timed;
    timed.lock();
    std::thread([&] { std::cout << "locked: " << timed.try_lock_for(milliseconds(20)) << std::endl; }).join();
    timed.unlock();
    std::shared_timed_mutex shared;
    std::shared_lock<std::shared_timed_mutex> reader(shared, milliseconds(20));
    std::thread([&] {
        std::cout << "written: " << shared.try_lock_for(milliseconds(20)) << ", read: "
                  << shared.try_lock_shared_for(minutes(5)) << std::endl;
        shared.unlock_shared();
    }).join();
    return Val_unit;
}

value cxx_streams(value text) {
    std::istringstream in(String_val(text));
    int number;
    long hex;
    double real;
    std::string word;
    in >> number >> std::hex >> hex >> real >> word;
    std::cout << number << ' ' << hex << ' ' << std::setprecision(3) << real << ' ' << std::quoted(word)
              << ' ' << in.eof() << std::endl;
    std::cout << std::fixed << 1.0 / 3 << std::endl;
    std::regex pattern("([a-z]+)@([a-z]+)");
    std::cout << std::regex_replace("name@host", pattern, "$2 $1") << std::endl;
    std::random_device source;
    std::cout << "random: " << (source() != source() || source() != source()) << std::endl;
    return Val_unit;
}

value cxx_locales(value) {
    std::cout << std::locale().name() << ' '
              << std::toupper('x', std::locale::classic()) << std::isalpha(L'y', std::locale::classic()) << std::endl;
    try {
        std::locale missing("xx_YY.utf8");
    } catch (const std::runtime_error &e) {
        std::cout << "caught: no such locale" << std::endl;
    }
    std::wostringstream wide;
    wide << L"wide " << 1234.5;
    std::cout << wide.str().size() << std::endl;
    return Val_unit;
}

value cxx_files(value) {
    namespace fs = std::filesystem;
    fs::path folder = fs::temp_directory_path() / "soil-cxx";
    fs::create_directories(folder / "inner");
    std::ofstream(folder / "inner" / "file") << "one\ntwo\n";
    std::map<std::string, std::string> lines;
    std::ifstream file(folder / "inner" / "file");
    for (std::string line; std::getline(file, line);) lines[line] = line;
    std::cout << lines.size() << ' ' << fs::file_size(folder / "inner" / "file") << std::endl;
    std::cout << "removed: " << fs::remove_all(folder) << std::endl;
    std::error_code error;
    (void)fs::file_size(folder, error);
    std::cout << error.message() << std::endl;
    return Val_unit;
}
}

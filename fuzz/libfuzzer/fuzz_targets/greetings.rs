#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| mpuser_fuzz::run("greetings", data));

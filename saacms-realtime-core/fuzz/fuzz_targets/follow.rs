#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saacms_realtime_core::_fuzz::follow(bytes));

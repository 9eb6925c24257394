//! The entry point for JavaScript.

use core::panic::PanicInfo;

/// Returns the number of steps that passed; traps at the first that fails.
#[expect(unsafe_code, reason = "JavaScript calls it by its plain name")]
#[unsafe(no_mangle)]
extern "C" fn cycle() -> u32 {
    let mut steps = 0;
    super::cycle(|_, _| steps += 1).expect("room for every frame");
    steps
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

;; 4 MiB of memory, of which the first 64 KiB are the guest's to write answers into, and an allocator for the rest.
(memory (export "memory") 64)
(global $heap (mut i32) (i32.const 65536))
(func $alloc (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (local.get $at))

;; The answer of a filter that accepts its one offer, at 16: a list of one verdict, which is at 1024 and all zeros.
(func $accepted (result i32)
  (i32.store (i32.const 20) (i32.const 1024))
  (i32.store (i32.const 24) (i32.const 1))
  (i32.const 16))

;; An answer at 16 that says that the plugin failed, with a text.
(func $failed (param $text i32) (param $length i32) (result i32)
  (i32.store8 (i32.const 16) (i32.const 1))
  (i32.store8 (i32.const 20) (i32.const 3))
  (i32.store (i32.const 24) (local.get $text))
  (i32.store (i32.const 28) (local.get $length))
  (i32.const 16))

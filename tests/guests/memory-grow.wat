;; Takes more memory than there is for it, and writes all of it.
(global $pages (mut i32) (i32.const 64))
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 96)))
    (memory.fill (i32.mul (global.get $pages) (i32.const 65536)) (i32.const 1) (i32.const 6291456))
    (global.set $pages (i32.add (global.get $pages) (i32.const 96)))
    (br $again))
  unreachable)

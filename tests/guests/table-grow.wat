;; Takes more table elements than there are for it.
(table 1 funcref)
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (drop (table.grow (ref.null func) (i32.const 20000)))
  unreachable)

;; Nothing but zeros: an empty description.
(func (export "resource-broker:plugin/plugin@0.2.0#describe") (result i32) (i32.const 1024))

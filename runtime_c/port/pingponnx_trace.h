/* The markers around every node of a generated model, with -DPINGPONNX_TRACE; implemented by harness.c.
 *
 * A node's instructions are counted from the return of pingponnx_node_begin to the call of
 * pingponnx_node_stop. The latter has no arguments on purpose: nothing has to be computed for it, so that
 * its call costs one instruction whatever the node, and a constant can be subtracted.
 */
#ifndef PINGPONNX_TRACE_H
#define PINGPONNX_TRACE_H

void pingponnx_node_begin(unsigned node);
void pingponnx_node_stop(void);
void pingponnx_node_end(unsigned node, const void *data, unsigned bytes);

#define PINGPONNX_NODE_BEGIN(node) pingponnx_node_begin(node)
#define PINGPONNX_NODE_END(node, data, bytes)                                                                \
    do {                                                                                                     \
        pingponnx_node_stop();                                                                               \
        pingponnx_node_end(node, data, bytes);                                                               \
    } while (0)

#endif
